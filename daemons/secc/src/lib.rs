//! ISO 15118 communication with the vehicle.
