//! Power modules over CAN.
