//! The technician's command.
fn main() {}
