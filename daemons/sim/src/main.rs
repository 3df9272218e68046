//! Simulated hardware and vehicle.
fn main() {}
