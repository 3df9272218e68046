//! Energy meters and insulation monitors on one line.
fn main() {}
