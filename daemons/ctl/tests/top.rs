//! `voltryctl top` on a terminal, and where there is none. The station behind it is one of this test.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::{private_bus, station};

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use private_bus::{Bus, Process};
use station::serve;

const PATIENCE: Duration = Duration::from_secs(30);

/// The command on a terminal of 80 columns and 24 rows.
struct OnTerminal {
    top: Child,
    terminal: OwnedFd,
    keyboard: File,
    shown: Receiver<Vec<u8>>,
    screen: String,
}

impl OnTerminal {
    fn start(bus: &str) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        let top = Command::new(env!("CARGO_BIN_EXE_voltryctl"))
            .args(["top", "--every", "500"])
            .env("VOLTRY_BUS", bus)
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let mut master = File::from(pair.master);
        let keyboard = master.try_clone().unwrap();
        let (told, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = master.read(&mut buffer) {
                if told.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { top, terminal: pair.slave, keyboard, shown, screen: String::new() }
    }

    fn until(&mut self, part: &str) {
        let ends = Instant::now() + PATIENCE;
        while !self.screen.contains(part) {
            let bytes = self.shown.recv_timeout(ends.saturating_duration_since(Instant::now()));
            let bytes = bytes.unwrap_or_else(|_| panic!("{part:?} did not come: {:?}", self.screen));
            self.screen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.terminal).unwrap().local_flags.contains(LocalFlags::ICANON)
    }

    /// It ends, and leaves the terminal as it was.
    fn ends(&mut self) -> ExitStatus {
        // Leaves the other screen.
        self.until("\u{1b}[?1049l");
        let status = self.top.wait().unwrap();
        assert!(!self.is_raw(), "the terminal is left as it was");
        status
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.top.kill();
        let _ = self.top.wait();
    }
}

#[tokio::test]
async fn q_ctrl_c_and_a_signal_end_it_and_leave_the_terminal_as_it_was() {
    let bus = Bus::start();
    let _served = serve(&bus).await;
    let address = bus.address.clone();
    // The station answers meanwhile.
    let tried = tokio::task::spawn_blocking(move || {
        for way in ["q", "\u{3}", "SIGTERM"] {
            let mut on = OnTerminal::start(&address);
            on.until("charging");
            assert!(on.is_raw());
            if way == "SIGTERM" {
                kill(Pid::from_raw(i32::try_from(on.top.id()).unwrap()), Signal::SIGTERM).unwrap();
            } else {
                on.keyboard.write_all(way.as_bytes()).unwrap();
            }
            assert!(on.ends().success(), "{way:?}");
        }
    });
    tried.await.unwrap();
}

#[tokio::test]
async fn where_there_is_no_terminal_one_picture_is_printed_and_nobody_is_missed() {
    let bus = Bus::start();
    let print = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_voltryctl"));
        command.args(["top"]).env("VOLTRY_BUS", &bus.address).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut top = Process(command.spawn().unwrap());
        tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            top.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
            text
        })
    };
    let nobody = tokio::time::timeout(PATIENCE, print()).await.unwrap().unwrap();
    assert!(nobody.contains("voltry-station does not answer"), "{nobody}");
    let _served = serve(&bus).await;
    let text = tokio::time::timeout(PATIENCE, print()).await.unwrap().unwrap();
    for part in ["charging", "400", "125.0", "50.0", "DiodeFault", "out of service"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
}
