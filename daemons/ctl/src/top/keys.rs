//! What is typed: `q` and Ctrl-C end it, Ctrl-L draws everything anew.

use std::io::Read as _;

use tokio::sync::mpsc;

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Redraw,
}

/// Of a byte that a terminal in raw mode sends.
fn meaning(byte: u8) -> Option<Key> {
    match byte {
        // q, Q, Ctrl-C, Ctrl-D.
        b'q' | b'Q' | 0x03 | 0x04 => Some(Key::Quit),
        // Ctrl-L.
        0x0C => Some(Key::Redraw),
        _ => None,
    }
}

/// Listens in a thread of its own, which ends with the process.
pub(super) fn listen() -> mpsc::Receiver<Key> {
    let (keys, heard) = mpsc::channel(8);
    std::thread::spawn(move || {
        for byte in std::io::stdin().lock().bytes() {
            let Ok(byte) = byte else { break };
            if let Some(key) = meaning(byte)
                && keys.blocking_send(key).is_err()
            {
                return;
            }
        }
        // Whoever typed has gone.
        let _ = keys.blocking_send(Key::Quit);
    });
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_and_ctrl_c_end_it_and_nothing_else_does() {
        let quits: Vec<u8> = (0..=u8::MAX).filter(|byte| meaning(*byte) == Some(Key::Quit)).collect();
        assert_eq!(quits, [0x03, 0x04, b'Q', b'q']);
        assert_eq!(meaning(0x0C), Some(Key::Redraw));
    }
}
