//! A CAN 2.0 data frame and its identifier.

use std::fmt;

/// An identifier, a length or a text that no CAN 2.0 data frame can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrame {
    /// The identifier needs more than 11, or 29, bits.
    #[error("{0:#x} does not fit its identifier's bits")]
    Id(u32),
    /// More than 8 data bytes.
    #[error("{0} data bytes where at most 8 fit")]
    Length(usize),
}

/// A frame's identifier: 11 bits (CAN 2.0A) or 29 bits (CAN 2.0B). Its bits only ever fit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanId {
    bits: u32,
    extended: bool,
}

impl CanId {
    /// A base identifier, `0..=0x7FF`.
    ///
    /// # Errors
    /// When `bits` needs more than 11 bits.
    pub const fn standard(bits: u32) -> Result<Self, InvalidFrame> {
        if bits > 0x7FF { Err(InvalidFrame::Id(bits)) } else { Ok(Self { bits, extended: false }) }
    }

    /// An extended identifier, `0..=0x1FFF_FFFF`.
    ///
    /// # Errors
    /// When `bits` needs more than 29 bits.
    pub const fn extended(bits: u32) -> Result<Self, InvalidFrame> {
        if bits > 0x1FFF_FFFF { Err(InvalidFrame::Id(bits)) } else { Ok(Self { bits, extended: true }) }
    }

    /// The identifier's bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// Whether it is a 29-bit identifier.
    #[must_use]
    pub const fn is_extended(self) -> bool {
        self.extended
    }
}

impl fmt::Debug for CanId {
    /// As candump writes it: three digits for 11 bits, eight for 29.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.extended { write!(f, "{:08X}", self.bits) } else { write!(f, "{:03X}", self.bits) }
    }
}

/// A data frame with 0 to 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CanFrame {
    id: CanId,
    data: [u8; 8],
    length: u8,
}

impl CanFrame {
    /// A frame of these bytes.
    ///
    /// # Errors
    /// With more than 8 bytes.
    pub fn new(id: CanId, bytes: &[u8]) -> Result<Self, InvalidFrame> {
        let mut data = [0; 8];
        data.get_mut(..bytes.len()).ok_or(InvalidFrame::Length(bytes.len()))?.copy_from_slice(bytes);
        // At most 8 by the check above.
        #[allow(clippy::cast_possible_truncation)]
        Ok(Self { id, data, length: bytes.len() as u8 })
    }

    /// A frame of eight bytes, as nearly every power module speaks.
    #[must_use]
    pub const fn of_eight(id: CanId, data: [u8; 8]) -> Self {
        Self { id, data, length: 8 }
    }

    /// The identifier.
    #[must_use]
    pub const fn id(&self) -> CanId {
        self.id
    }

    /// The data bytes.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data[..usize::from(self.length)]
    }
}

impl fmt::Debug for CanFrame {
    /// As candump writes it: `029A00F0#0100000000000000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}#", self.id)?;
        self.data().iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_a_frame_is_refused() {
        assert_eq!(CanId::standard(0x800), Err(InvalidFrame::Id(0x800)));
        assert_eq!(CanId::extended(0x2000_0000), Err(InvalidFrame::Id(0x2000_0000)));
        let id = CanId::standard(0x7FF).unwrap();
        assert_eq!(CanFrame::new(id, &[0; 9]), Err(InvalidFrame::Length(9)));
    }

    #[test]
    fn an_eleven_bit_id_differs_from_the_same_bits_in_twenty_nine() {
        assert_ne!(CanId::standard(0x10).unwrap(), CanId::extended(0x10).unwrap());
    }

    #[test]
    fn a_frame_reads_as_candump_writes_it() {
        let frame = CanFrame::new(CanId::extended(0x029A_00F0).unwrap(), &[1, 0, 0xFA]).unwrap();
        assert_eq!(format!("{frame:?}"), "029A00F0#0100FA");
    }
}
