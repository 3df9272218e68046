//! Authorization, shares, transactions and the station's book.
fn main() {}
