//! Power modules over CAN.
fn main() {}
