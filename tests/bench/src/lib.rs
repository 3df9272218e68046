//! make bench.
