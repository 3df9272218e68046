//! What vehicles say, without what names them, their drivers or their contracts.

/// Fields whose text names somebody.
const NAMES: [&str; 2] = ["EVCCID \"", "EMAID \""];
/// So many hexadecimal digits are an identity, a certificate or a signature.
const DIGITS: usize = 12;
const MASK: &str = "…";

/// The content of a message, masked.
pub(super) fn v2g(text: &str) -> String {
    let mut text = text.to_owned();
    for name in NAMES {
        text = without_texts(&text, name);
    }
    without_digits(&text)
}

/// Texts in quotation marks after `name`, which ends with the first of the marks.
fn without_texts(text: &str, name: &str) -> String {
    let mut parts = text.split(name);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A text that does not end is none that may be shown.
        let after = part.split_once('"').map_or("", |(_, after)| after);
        masked += name;
        masked += MASK;
        masked.push('"');
        masked += after;
    }
    masked
}

fn without_digits(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut run = String::new();
    let end = |run: &mut String, masked: &mut String| {
        *masked += if run.len() >= DIGITS { MASK } else { run };
        run.clear();
    };
    for letter in text.chars() {
        if letter.is_ascii_hexdigit() {
            run.push(letter);
        } else {
            end(&mut run, &mut masked);
            masked.push(letter);
        }
    }
    end(&mut run, &mut masked);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_certificates_and_contracts_are_not_shown_and_quantities_are() {
        for (said, shown) in [
            ("EVCCID 007DFA065F13", "EVCCID …"),
            ("EVCCID \"WMIV1234567890ABCDEX\", Priority 1", "EVCCID \"…\", Priority 1"),
            ("EMAID \"DE8AC12E1\", EVReady true", "EMAID \"…\", EVReady true"),
            ("Certificate FFFFFFFFFFFFFFFF… (600 bytes)", "Certificate …… (600 bytes)"),
            ("EVTargetCurrent 3.6 A, EVSEID \"DE*VOL*E1\"", "EVTargetCurrent 3.6 A, EVSEID \"DE*VOL*E1\""),
            ("EMAID \"never ends", "EMAID \"…\""),
        ] {
            assert_eq!(v2g(said), shown);
        }
    }
}
