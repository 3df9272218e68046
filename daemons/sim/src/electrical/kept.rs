//! Registers that outlast the machine which plays the meters, as real ones outlast a loss of mains.
//!
//! ```text
//! one line: imported, exported, imported from the grid, in watt-hours of twenty digits each
//! ```
//! A line is written over the one before it in one piece, whenever another whole watt-hour has been counted. Parts of
//! one are lost with the machine, as in a meter that keeps no finer count.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{Circuit, EnergyRegister};

/// A circuit's registers in a file.
#[derive(Debug)]
pub struct KeptRegisters {
    file: File,
    written: Option<[u64; 3]>,
}

impl KeptRegisters {
    /// Gives `circuit` what was kept in `path`; a new file is begun with what the circuit has.
    ///
    /// # Errors
    /// The file cannot be read or made, or holds something else.
    pub fn restore(path: &Path, circuit: &mut Circuit) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let text = io::read_to_string(&file)?;
        let mut kept = Self { file, written: None };
        if !text.is_empty() {
            let [import, export, grid] = parse(&text).ok_or(io::ErrorKind::InvalidData)?;
            circuit.meter = EnergyRegister::counted(import, export);
            circuit.grid_meter = EnergyRegister::counted(grid, 0);
        }
        kept.keep(circuit)?;
        Ok(kept)
    }

    /// Keeps what the meters have counted by now.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&mut self, circuit: &Circuit) -> io::Result<()> {
        let counted = [circuit.meter.import_wh(), circuit.meter.export_wh(), circuit.grid_meter.import_wh()];
        if self.written != Some(counted) {
            let [import, export, grid] = counted;
            self.file.write_all_at(format!("{import:020} {export:020} {grid:020}\n").as_bytes(), 0)?;
            self.written = Some(counted);
        }
        Ok(())
    }
}

fn parse(line: &str) -> Option<[u64; 3]> {
    let numbers: Result<Vec<u64>, _> = line.split_ascii_whitespace().map(str::parse).collect();
    numbers.ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::super::CircuitConfig;
    use super::*;

    const HOUR_OF_A_KILOWATT: f64 = 3.6e6;

    fn circuit() -> Circuit {
        Circuit::new(CircuitConfig::of_modules(1))
    }

    #[test]
    fn a_meter_goes_on_where_its_machine_died() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dc1");
        let mut before = circuit();
        let mut kept = KeptRegisters::restore(&file, &mut before).unwrap();
        before.meter.add(HOUR_OF_A_KILOWATT);
        before.meter.add(-2.0 * HOUR_OF_A_KILOWATT);
        before.grid_meter.add(3.0 * HOUR_OF_A_KILOWATT);
        kept.keep(&before).unwrap();
        let mut after = circuit();
        KeptRegisters::restore(&file, &mut after).unwrap();
        assert_eq!(after.meter, EnergyRegister::counted(before.meter.import_wh(), 2000));
        assert_eq!(after.grid_meter.import_wh(), 3000);
        assert_ne!(after.meter.import_wh(), circuit().meter.import_wh());
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dc1");
        std::fs::write(&file, "no register").unwrap();
        assert!(KeptRegisters::restore(&file, &mut circuit()).is_err());
    }
}
