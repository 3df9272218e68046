//! What every daemon does alike: configuration, journal, readiness, watchdog, shutdown, leases.
