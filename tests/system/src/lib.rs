//! Tests of the whole station, as processes.
