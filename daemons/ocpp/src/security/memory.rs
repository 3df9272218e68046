//! Whether the machine runs out of memory (OCPP's MemoryExhaustion).

use std::time::Duration;

use tokio::sync::mpsc;

use super::SecurityEvent;
use crate::uplink::Input;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(30);
/// Below so many KiB nobody should be: the daemons of a station have some 100 MiB together.
const FLOOR: u64 = 32 * 1024;
/// It is over when so many are there again.
const AMPLE: u64 = 2 * FLOOR;

/// Whether a shortage was told.
#[derive(Debug, Default)]
struct Shortage(bool);

impl Shortage {
    /// What to tell of so many KiB that are there: once, until it is over.
    fn look(&mut self, available: u64) -> Option<String> {
        if available >= AMPLE {
            self.0 = false;
        }
        let begins = available < FLOOR && !self.0;
        self.0 |= begins;
        begins.then(|| format!("{} MiB of memory are left", available / 1024))
    }
}

/// The KiB that programs can have yet, by the kernel (`/proc/meminfo`).
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Looks for as long as somebody listens.
pub(crate) async fn watch(inputs: mpsc::Sender<Input>) -> anyhow::Result<()> {
    let (mut shortage, mut looks) = (Shortage::default(), tokio::time::interval(LOOK));
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let read = std::fs::read_to_string("/proc/meminfo").ok();
        let told = read.as_deref().and_then(available).and_then(|available| shortage.look(available));
        if let Some(words) = told {
            inputs.send(Input::Security(SecurityEvent::MemoryExhaustion, words)).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_of_memory_is_told_once_until_it_is_over() {
        let mut shortage = Shortage::default();
        let told: Vec<bool> = [90_000, 32_768, 32_767, 100, 60_000, 100, 65_536, 30_000]
            .map(|available| shortage.look(available).is_some())
            .to_vec();
        assert_eq!(told, [false, false, true, false, false, false, false, true]);
    }

    #[test]
    fn what_the_kernel_says_of_memory_is_read() {
        assert_eq!(available("MemTotal:  500 kB\nMemAvailable:    31000 kB\nBuffers: 1 kB\n"), Some(31_000));
        assert_eq!(available("MemTotal:  500 kB\n"), None);
        let own = std::fs::read_to_string("/proc/meminfo").unwrap();
        assert!(available(&own).is_some(), "as this kernel writes it");
    }
}
