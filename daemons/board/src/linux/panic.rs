//! A daemon that panics ends at once, without unwinding: what it drives is made safe before.

use std::sync::{Arc, Mutex, Once, PoisonError, TryLockError, Weak};
use std::thread;
use std::time::Duration;

use super::hardware::Outlets;

static WATCHED: Mutex<Vec<Weak<Mutex<Outlets>>>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

/// From now on a panic anywhere in the process makes these safe.
pub(super) fn watch(outlets: &Arc<Mutex<Outlets>>) {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            make_all_safe();
            before(panic);
        }));
    });
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched.retain(|known| known.strong_count() > 0);
    watched.push(Arc::downgrade(outlets));
}

/// Whoever holds a lock may be who panicked, so none is waited for longer than its holder needs.
fn make_all_safe() {
    let Ok(watched) = WATCHED.try_lock() else { return };
    for outlets in watched.iter().filter_map(Weak::upgrade) {
        for _ in 0..20 {
            match outlets.try_lock() {
                Ok(mut outlets) => {
                    let _ = outlets.end();
                    break;
                }
                Err(TryLockError::Poisoned(held)) => {
                    let _ = held.into_inner().end();
                    break;
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}
