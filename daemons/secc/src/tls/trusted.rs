//! `trusted_ca_keys` (RFC 6066, section 6): the roots that an ISO 15118-2 vehicle trusts.

use openssl::bn::BigNumContext;
use openssl::ec::PointConversionForm;
use openssl::hash::MessageDigest;
use openssl::x509::X509Ref;

/// The extension's number.
pub(super) const EXTENSION: u16 = 3;

/// How a vehicle names one authority that it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authority {
    /// "As agreed before": no name at all.
    PreAgreed,
    /// SHA-1 of the public key.
    Key([u8; 20]),
    /// The distinguished name, DER.
    Name(Vec<u8>),
    /// SHA-1 of the certificate.
    Certificate([u8; 20]),
}

/// Reads the extension's data; `None` if it is malformed. Its length bounds the list.
pub(super) fn read(data: &[u8]) -> Option<Vec<Authority>> {
    let (length, mut rest) = data.split_first_chunk::<2>()?;
    if usize::from(u16::from_be_bytes(*length)) != rest.len() {
        return None;
    }
    let mut authorities = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        let authority;
        (authority, rest) = match kind {
            0 => (Authority::PreAgreed, after),
            1 | 3 => {
                let (hash, after) = after.split_first_chunk::<20>()?;
                let hash = *hash;
                (if *kind == 1 { Authority::Key(hash) } else { Authority::Certificate(hash) }, after)
            }
            2 => {
                let (length, after) = after.split_first_chunk::<2>()?;
                let (name, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
                (Authority::Name(name.to_vec()), after)
            }
            _ => return None,
        };
        authorities.push(authority);
    }
    Some(authorities)
}

/// All names of the authorities that a chain leads to: its certificates above the leaf, and the
/// issuer that the topmost names. The names under which a vehicle may trust it.
pub(super) fn authorities<'a>(chain: impl IntoIterator<Item = &'a X509Ref>) -> Vec<Authority> {
    let mut authorities = Vec::new();
    for (index, certificate) in chain.into_iter().enumerate() {
        authorities.extend(certificate.issuer_name().to_der().ok().map(Authority::Name));
        if index > 0 {
            authorities.extend(certificate.subject_name().to_der().ok().map(Authority::Name));
            authorities.extend(key_hash(certificate).map(Authority::Key));
            let digest = certificate.digest(MessageDigest::sha1()).ok();
            authorities
                .extend(digest.and_then(|digest| (*digest).try_into().ok()).map(Authority::Certificate));
        }
    }
    authorities
}

/// RFC 6066: of an elliptic curve's key the point is hashed.
fn key_hash(certificate: &X509Ref) -> Option<[u8; 20]> {
    let key = certificate.public_key().ok()?.ec_key().ok()?;
    let mut context = BigNumContext::new().ok()?;
    let point =
        key.public_key().to_bytes(key.group(), PointConversionForm::UNCOMPRESSED, &mut context).ok()?;
    Some(openssl::sha::sha1(&point))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Laid out by hand after RFC 6066.
    #[test]
    fn every_kind_of_name_is_read_and_a_cut_list_is_none() {
        let mut data = vec![0, 1 + 21 + 5 + 21, 0, 1];
        data.extend([7; 20]);
        data.extend([2, 0, 2, 0x30, 0x00, 3]);
        data.extend([9; 20]);
        let expected = [
            Authority::PreAgreed,
            Authority::Key([7; 20]),
            Authority::Name(vec![0x30, 0x00]),
            Authority::Certificate([9; 20]),
        ];
        assert_eq!(read(&data).as_deref(), Some(&expected[..]));
        for length in 0..data.len() {
            assert_eq!(read(&data[..length]), None, "of {length} bytes");
            let mut cut = data[..length].to_vec();
            if let [high, low, ..] = &mut cut[..] {
                [*high, *low] = u16::try_from(length - 2).unwrap().to_be_bytes();
                let whole = [2, 3, 24, 29].contains(&length);
                assert_eq!(read(&cut).is_some(), whole, "of {length} bytes, length corrected");
            }
        }
        assert_eq!(read(&[0, 1, 4]), None, "an unknown kind");
    }
}
