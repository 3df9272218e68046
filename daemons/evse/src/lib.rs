//! One EVSE's energy path.
