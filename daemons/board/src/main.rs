//! Pilot, contactors, temperatures, emergency stop.
fn main() {}
