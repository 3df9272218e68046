//! A pseudo-terminal as a serial line.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{FlushArg, SetArg, cfmakeraw, tcflush, tcgetattr, tcsetattr};
use nix::unistd::ttyname;
use tokio::net::unix::pipe;

/// What the host has not read for this long was sent while no port was open: a real line forgets it.
const FORGOTTEN: Duration = Duration::from_millis(500);

/// The device's end of a serial line; the host opens [`Pty::slave`] or a link to it.
///
/// A slave descriptor stays open here, because the master reads EIO from the moment the last one
/// closes: a host may close and open its port as it likes. There is no bit rate; devices charge
/// their bytes and frames the time themselves.
#[derive(Debug)]
pub struct Pty {
    master: File,
    // Waits for the master; tokio's pipe end takes any descriptor that epoll does.
    incoming: pipe::Receiver,
    keeper: OwnedFd,
    slave: PathBuf,
    unread_since: Mutex<Option<Instant>>,
}

impl Pty {
    /// Opens a pair, raw and without echo.
    ///
    /// # Errors
    /// When the system has no pseudo-terminal left.
    pub fn open() -> io::Result<Self> {
        let pair = openpty(None, None)?;
        let mut settings = tcgetattr(&pair.slave)?;
        cfmakeraw(&mut settings);
        tcsetattr(&pair.slave, SetArg::TCSANOW, &settings)?;
        let flags = OFlag::from_bits_truncate(fcntl(&pair.master, FcntlArg::F_GETFL)?);
        fcntl(&pair.master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
        }
        let slave = ttyname(&pair.slave)?;
        let master = File::from(pair.master);
        let incoming = pipe::Receiver::from_file_unchecked(master.try_clone()?)?;
        Ok(Self { master, incoming, keeper: pair.slave, slave, unread_since: Mutex::new(None) })
    }

    /// The path that the host opens.
    #[must_use]
    pub fn slave(&self) -> &Path {
        &self.slave
    }

    /// Makes `link` a symbolic link to the host's end, in place of a link left by an earlier run.
    ///
    /// # Errors
    /// When the folder is not writable, or something else than a link is there.
    pub fn link(&self, link: &Path) -> io::Result<()> {
        match std::fs::symlink_metadata(link) {
            Ok(found) if found.file_type().is_symlink() => std::fs::remove_file(link)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "not a symbolic link")),
            Err(_) => {}
        }
        std::os::unix::fs::symlink(&self.slave, link)
    }

    /// Reads what the host sent; waits for at least one byte.
    ///
    /// # Errors
    /// Those of the descriptor.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.incoming.readable().await?;
            match uninterrupted(|| self.incoming.try_read(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Sends to the host. What does not fit its buffer is lost, as on a line without handshake.
    ///
    /// # Errors
    /// Those of the descriptor.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.forget_old_bytes()?;
        match uninterrupted(|| (&self.master).write(bytes)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Drops what nobody has read for long, so that a host that opens its port does not begin with
    /// the past.
    ///
    /// Bytes are counted, not polled for: poll(2) first waits for the kernel's worker that carries the bytes of
    /// the last write to the other end, and on a busy machine all simulated hardware was silent for as long as
    /// that worker had no processor, up to a second.
    fn forget_old_bytes(&self) -> io::Result<()> {
        let unread = uninterrupted(|| Ok(rustix::io::ioctl_fionread(&self.keeper)?))? > 0;
        let mut since = self.unread_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !unread {
            *since = None;
        } else if since.get_or_insert_with(Instant::now).elapsed() > FORGOTTEN {
            uninterrupted(|| Ok(tcflush(&self.keeper, FlushArg::TCIFLUSH)?))?;
            *since = None;
        }
        Ok(())
    }
}

/// Does it until no signal interrupts it. Each daemon that ends sends one: a device would be gone for good.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_host_may_close_and_open_its_port_again() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("can0");
        let pty = Pty::open().unwrap();
        pty.link(&link).unwrap();
        pty.link(&link).unwrap();
        for _ in 0..2 {
            let mut host = tokio::fs::OpenOptions::new().read(true).write(true).open(&link).await.unwrap();
            host.write_all(b"S4\r\n\x00\xFF").await.unwrap();
            host.flush().await.unwrap();
            let mut buffer = [0; 16];
            let length = pty.read(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], b"S4\r\n\x00\xFF", "raw in both directions");
            pty.write(b"\r\x07").unwrap();
            let mut answer = [0; 2];
            host.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"\r\x07");
        }
    }

    #[tokio::test]
    async fn writing_where_nobody_reads_never_blocks() {
        let pty = Pty::open().unwrap();
        for _ in 0..100 {
            pty.write(&[0x55; 512]).unwrap();
        }
    }

    #[test]
    fn a_signal_is_no_error() {
        let mut results =
            vec![Ok(7), Err(io::ErrorKind::Interrupted.into()), Err(io::ErrorKind::Interrupted.into())];
        assert_eq!(uninterrupted(|| results.pop().unwrap()).unwrap(), 7);
        assert!(uninterrupted(|| Err::<(), _>(io::ErrorKind::WouldBlock.into())).is_err());
    }
}
