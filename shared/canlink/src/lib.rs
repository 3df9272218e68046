//! CAN frames over SocketCAN or slcan.
