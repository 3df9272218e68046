//! Measuring channels of Bender insulation monitors: four registers that tell a value and what
//! to think of it (vendor document, "Modbus register assignment").
//!
//! ```text
//! word 0, 1   float, high word first
//! word 2      high byte: test (bits 7, 6), alarm (bits 2 to 0)
//!             low byte:  validity (bits 7, 6), unit (bits 4 to 0)
//! word 3      what the channel is about
//! ```

/// What the device thinks of a channel's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// This is the value.
    True,
    /// The real value is smaller.
    Smaller,
    /// The real value is larger.
    Larger,
    /// There is no value.
    Invalid,
}

/// The alarm of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// None.
    None,
    /// Pre-warning.
    PreWarning,
    /// The device itself has failed.
    DeviceError,
    /// Warning.
    Warning,
    /// Alarm.
    Alarm,
}

/// Whether a test runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// No.
    None,
    /// One that the device started by itself.
    Internal,
    /// One that was asked for.
    External,
}

/// The units that the driver uses, of the device's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Code 2.
    Ohm,
    /// Code 4.
    Volt,
    /// Any other.
    Other(u8),
}

/// A measuring channel as the device tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// In `unit`. May be anything, also NaN, where `validity` is `Invalid`.
    pub value: f32,
    /// See [`Validity`].
    pub validity: Validity,
    /// See [`Unit`].
    pub unit: Unit,
    /// See [`Alarm`].
    pub alarm: Alarm,
    /// See [`Test`].
    pub test: Test,
}

/// Words that are no measuring channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Fewer than three.
    #[error("a measuring channel of {0} words")]
    Short(usize),
    /// An alarm code that the vendor's table does not have.
    #[error("alarm code {0} is unknown")]
    Alarm(u8),
    /// A test code that the vendor's table does not have.
    #[error("test code 3 is unknown")]
    Test,
}

impl Channel {
    /// Reads a channel's first three words; the description, the fourth, is not needed.
    ///
    /// # Errors
    /// Too few words, or a code that is not in the vendor's table.
    pub fn parse(words: &[u16]) -> Result<Self, ChannelError> {
        let [high, low, flags, ..] = words else { return Err(ChannelError::Short(words.len())) };
        let [alarm_byte, unit_byte] = flags.to_be_bytes();
        let test = match alarm_byte >> 6 {
            0 => Test::None,
            1 => Test::Internal,
            2 => Test::External,
            _ => return Err(ChannelError::Test),
        };
        let alarm = match alarm_byte & 0b111 {
            0 => Alarm::None,
            1 => Alarm::PreWarning,
            // During a test the same code means no more than that the test runs.
            2 if test == Test::None => Alarm::DeviceError,
            2 => Alarm::None,
            4 => Alarm::Warning,
            5 => Alarm::Alarm,
            other => return Err(ChannelError::Alarm(other)),
        };
        let validity = match unit_byte >> 6 {
            0 => Validity::True,
            1 => Validity::Smaller,
            2 => Validity::Larger,
            _ => Validity::Invalid,
        };
        let unit = match unit_byte & 0b1_1111 {
            2 => Unit::Ohm,
            4 => Unit::Volt,
            other => Unit::Other(other),
        };
        let value = f32::from_bits((u32::from(*high) << 16) | u32::from(*low));
        Ok(Self { value, validity, unit, alarm, test })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 250 kΩ is 0x48742400 in IEEE 754.
    const R_250K: [u16; 2] = [0x4874, 0x2400];

    #[test]
    fn a_resistance_is_read_high_word_first() {
        let channel = Channel::parse(&[R_250K[0], R_250K[1], 0x0002, 71]).unwrap();
        let expected = Channel {
            value: 250_000.0,
            validity: Validity::True,
            unit: Unit::Ohm,
            alarm: Alarm::None,
            test: Test::None,
        };
        assert_eq!(channel, expected);
    }

    #[test]
    fn the_upper_bits_of_the_unit_say_what_the_value_is_worth() {
        let validity = |flags| Channel::parse(&[R_250K[0], R_250K[1], flags, 71]).unwrap().validity;
        assert_eq!(validity(0x0042), Validity::Smaller);
        assert_eq!(validity(0x0082), Validity::Larger);
        assert_eq!(validity(0x00C2), Validity::Invalid);
    }

    #[test]
    fn a_device_error_is_one_only_outside_a_test() {
        let at = |flags| Channel::parse(&[0, 0, flags, 71]).map(|channel| (channel.alarm, channel.test));
        assert_eq!(at(0x0202), Ok((Alarm::DeviceError, Test::None)));
        assert_eq!(at(0x4202), Ok((Alarm::None, Test::Internal)));
        assert_eq!(at(0x8202), Ok((Alarm::None, Test::External)));
        assert_eq!(at(0x0502), Ok((Alarm::Alarm, Test::None)));
        assert_eq!(at(0x0302), Err(ChannelError::Alarm(3)));
        assert_eq!(at(0xC002), Err(ChannelError::Test));
    }

    proptest! {
        #[test]
        fn no_words_panic(words in proptest::collection::vec(any::<u16>(), 0..6)) {
            let parsed = Channel::parse(&words);
            prop_assert_eq!(parsed == Err(ChannelError::Short(words.len())), words.len() < 3);
        }
    }
}
