//! The technician's command.

use std::process::ExitCode;

fn main() -> ExitCode {
    voltryctl::main()
}
