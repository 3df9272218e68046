//! The layout of the 29-bit identifier: `error 3 · device 4 · command 6 · destination 8 · source 8`.

/// The fields of an identifier, each within its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) error: u8,
    pub(crate) device: u8,
    pub(crate) command: u8,
    pub(crate) destination: u8,
    pub(crate) source: u8,
}

impl Id {
    pub(crate) const fn bits(self) -> u32 {
        (self.error as u32 & 0x7) << 26
            | (self.device as u32 & 0xF) << 22
            | (self.command as u32 & 0x3F) << 16
            | (self.destination as u32) << 8
            | self.source as u32
    }

    /// `None` beyond 29 bits.
    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        let [top, _, destination, source] = bits.to_be_bytes();
        // Masked to the field's width.
        #[allow(clippy::cast_possible_truncation)]
        let field = |shift: u32, mask: u32| (bits >> shift & mask) as u8;
        (top <= 0x1F).then_some(Self {
            error: field(26, 0x7),
            device: field(22, 0xF),
            command: field(16, 0x3F),
            destination,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_identifier_of_29_bits_round_trips(bits in 0_u32..=0x1FFF_FFFF) {
            prop_assert_eq!(Id::from_bits(bits).map(Id::bits), Some(bits));
        }

        #[test]
        fn more_than_29_bits_are_no_identifier(bits in 0x2000_0000_u32..) {
            prop_assert_eq!(Id::from_bits(bits), None);
        }
    }
}
