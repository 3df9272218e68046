//! Simulated hardware and vehicle.
