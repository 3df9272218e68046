//! AutoCharge: a vehicle told from others by what its EVCC calls itself.
//!
//! Nothing proves it: whoever knows a vehicle's address can claim to be it. So it is off unless the
//! configuration says otherwise, and serves for what one would also trust to a card's number.

use std::fmt::Write as _;
use std::sync::Arc;

/// What goes before the identity, so that it is no other token: the convention of AutoCharge.
const PREFIX: &str = "VID:";
/// As many characters as a token has at most.
const TOKEN_MAX: usize = 36;
/// Makers whose vehicles draw the rest of their address anew for each session: Volkswagen's, of which no
/// two recorded sessions have the same. Two vehicles would sooner or later be one.
const DRAWN_ANEW: [[u8; 3]; 1] = [[0x00, 0x7d, 0xfa]];

/// The token that stands for an EVCC, by its EVCCID: an Ethernet address in DIN 70121 and ISO 15118-2,
/// characters in -20. `None`: it names no vehicle for sure.
#[must_use]
pub fn token(evcc_id: &[u8], is_text: bool) -> Option<Arc<str>> {
    let mut token = PREFIX.to_owned();
    if is_text {
        token += std::str::from_utf8(evcc_id).ok().filter(|text| is_token(text))?;
        return (token.len() <= TOKEN_MAX).then(|| token.into());
    }
    for byte in address(evcc_id)? {
        let _ = write!(token, "{byte:02X}");
    }
    Some(token.into())
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_alphanumeric())
}

/// The address, if it is one that a maker gave out, and one for each vehicle.
fn address(evcc_id: &[u8]) -> Option<[u8; 6]> {
    let address = match evcc_id {
        // Eight bytes of DIN 70121: some vehicles fill them up (FreeV2G 164 and 165).
        [0, 0, address @ ..] | [address @ .., 0, 0] if evcc_id.len() == 8 => address,
        address => address,
    };
    let address: [u8; 6] = address.try_into().ok()?;
    // The two low bits of an address: it is a group's, or its bearer made it up.
    let given = address[0] & 0b11 == 0 && address != [0; 6];
    (given && !DRAWN_ANEW.iter().any(|maker| address.starts_with(maker))).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(evcc_id: &[u8]) -> Option<String> {
        token(evcc_id, false).map(|token| token.to_string())
    }

    #[test]
    fn an_address_is_a_token_however_it_is_filled_up() {
        let tesla = [0x98, 0xed, 0x5c, 0xb4, 0x28, 0xd3];
        assert_eq!(of(&tesla).as_deref(), Some("VID:98ED5CB428D3"));
        assert_eq!(of(&[&[0, 0], &tesla[..]].concat()), of(&tesla));
        assert_eq!(of(&[&tesla[..], &[0, 0]].concat()), of(&tesla));
    }

    #[test]
    fn an_address_that_is_no_vehicles_own_is_none() {
        for (address, why) in [
            (&[0x02, 0, 0, 0, 0, 1][..], "made up by its bearer"),
            (&[0x01, 0, 0x5e, 0, 0, 1], "a group's"),
            (&[0; 6], "nothing"),
            (&[0; 8], "nothing"),
            (&[0x00, 0x7d, 0xfa, 0x06, 0x43, 0xb4], "drawn anew for each session"),
            (&[0x98, 0xed, 0x5c], "too short"),
            (&[1; 8], "no address"),
            (&[], "nothing"),
        ] {
            assert_eq!(of(address), None, "{why}");
        }
    }

    #[test]
    fn characters_are_a_token_if_they_fit_into_one() {
        let text = |text: &str| token(text.as_bytes(), true).map(|token| token.to_string());
        assert_eq!(text("WMIV1234567890ABCDEX").as_deref(), Some("VID:WMIV1234567890ABCDEX"));
        for bad in ["", "two words", "*", &"A".repeat(33), "naïve"] {
            assert_eq!(text(bad), None, "{bad:?}");
        }
    }
}
