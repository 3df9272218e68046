//! The technician's command.
