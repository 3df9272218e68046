//! A tape archive (POSIX.1-2001, `ustar`) of a few files, as any `tar` opens it.

use std::io::{self, Write};

const BLOCK: usize = 512;

/// An archive that grows file by file.
#[derive(Debug)]
pub(super) struct Archive<W> {
    out: W,
    /// Seconds of Unix time that each file has.
    time: u64,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W, time: u64) -> Self {
        Self { out, time }
    }

    /// Adds a file. Its name is at most 100 bytes.
    ///
    /// # Errors
    /// It cannot be written, or has no such name.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.out.write_all(&header(name, content.len(), self.time)?)?;
        self.out.write_all(content)?;
        let padding = content.len().next_multiple_of(BLOCK) - content.len();
        self.out.write_all(&[0; BLOCK][..padding])
    }

    /// Ends it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn header(name: &str, length: usize, time: u64) -> io::Result<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, width: usize, text: &str| {
        if text.len() > width {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("too long for an archive: {text}"),
            ));
        }
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
        Ok(())
    };
    put(0, 100, name)?;
    // Read and written by its owner alone; owner and group are root's numbers.
    put(100, 8, "0000600")?;
    put(108, 8, "0000000")?;
    put(116, 8, "0000000")?;
    put(124, 12, &format!("{length:011o}"))?;
    put(136, 12, &format!("{time:011o}"))?;
    // The sum counts itself as spaces.
    put(148, 8, "        ")?;
    put(156, 1, "0")?;
    put(257, 8, "ustar\u{0}00")?;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_itself_finds_each_file_with_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.tar");
        let mut archive = Archive::new(std::fs::File::create(&path).unwrap(), 1_790_000_000);
        let block = vec![b'x'; BLOCK];
        for (name, content) in [("a/one.txt", &b"one"[..]), ("empty", b""), ("a/block", &block)] {
            archive.add(name, content).unwrap();
        }
        assert!(archive.add(&"n".repeat(101), b"").is_err());
        archive.finish().unwrap();
        let tar = |arguments: &[&str]| {
            let done = Command::new("tar").args(arguments).arg("-f").arg(&path).output().unwrap();
            assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
            done.stdout
        };
        assert_eq!(tar(&["-t"]), b"a/one.txt\nempty\na/block\n");
        let all = Command::new("tar").arg("-xOf").arg(&path).output().unwrap();
        assert_eq!(all.stdout, [&b"one"[..], &block].concat());
    }
}
