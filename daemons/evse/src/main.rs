//! One EVSE's energy path.
fn main() {}
