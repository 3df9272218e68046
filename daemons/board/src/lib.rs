//! Pilot, contactors, temperatures, emergency stop.
