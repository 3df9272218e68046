//! Texts that a peer chose, on their way to the bus. D-Bus takes no NUL, and whoever sends one is thrown
//! off it: a vehicle could do that to this daemon by one message.

/// The text with a replacement for each control character.
pub(crate) fn for_bus(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
