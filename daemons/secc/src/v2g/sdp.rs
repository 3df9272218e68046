//! SECC discovery (ISO 15118-2, 7.10.1): the vehicle multicasts "who serves this cable?".

use std::net::{Ipv6Addr, SocketAddrV6};

use iso15118::sdp::{Request, Response, TlsPolicy, TransportProtocol};

use crate::tls::Mode;

/// The UDP port on which vehicles ask.
pub const PORT: u16 = iso15118::v2gtp::SDP_PORT;
/// All nodes of the link: where vehicles ask.
pub const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The answer to a discovery request: our address, and whether to speak TLS there.
///
/// # Errors
/// In words, what about the datagram is no request we can answer.
pub fn answer(datagram: &[u8], listener: SocketAddrV6, tls: Mode) -> Result<Vec<u8>, String> {
    let request = Request::from_frame(datagram).map_err(|error| error.to_string())?;
    if request.transport != TransportProtocol::Tcp {
        return Err("it asks for another transport than TCP".to_owned());
    }
    let policy = match tls {
        // [V2G2-627]: a vehicle that asks for TLS where there is none is told so, and decides.
        Mode::Off => TlsPolicy::Unsupported,
        Mode::Allowed => TlsPolicy::Supported,
        Mode::Required => TlsPolicy::Required,
    };
    let response = Response::answering(request, listener.ip().octets(), listener.port(), policy);
    let mut frame = [0; 64];
    let length = response.write_frame(&mut frame, false).map_err(|error| error.to_string())?;
    Ok(frame[..length].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENER: SocketAddrV6 =
        SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 50_000, 0, 0);

    /// Request and response as ISO 15118-2 tables 17 and 20 lay them out.
    #[test]
    fn a_vehicle_gets_tls_if_it_asks_or_must_and_hears_if_there_is_none() {
        let (tls, plain) = (0x00, 0x10);
        for (mode, asked, answered) in [
            (Mode::Off, tls, plain),
            (Mode::Off, plain, plain),
            (Mode::Allowed, tls, tls),
            (Mode::Allowed, plain, plain),
            (Mode::Required, tls, tls),
            (Mode::Required, plain, tls),
        ] {
            let request = [0x01, 0xfe, 0x90, 0x00, 0, 0, 0, 2, asked, 0x00];
            let mut expected = vec![0x01, 0xfe, 0x90, 0x01, 0, 0, 0, 20, 0xfe, 0x80];
            expected.extend([0; 13]);
            expected.extend([1, 0xc3, 0x50, answered, 0x00]);
            assert_eq!(answer(&request, LISTENER, mode), Ok(expected), "{mode:?}, asked {asked:#x}");
        }
    }

    #[test]
    fn anything_else_gets_no_answer() {
        for bad in [
            &[][..],
            &[0x01, 0xfe, 0x90, 0x00, 0, 0, 0, 2, 0x10],
            &[0x01, 0xfe, 0x90, 0x00, 0xff, 0xff, 0xff, 0xff, 0x10, 0x00],
            &[0x01, 0xfe, 0x80, 0x01, 0, 0, 0, 2, 0x10, 0x00],
            &[0x01, 0xfe, 0x90, 0x00, 0, 0, 0, 2, 0x10, 0x10],
            &[0x01, 0xfe, 0x90, 0x00, 0, 0, 0, 2, 0x10, 0x00, 0x00],
        ] {
            assert!(answer(bad, LISTENER, Mode::Allowed).is_err(), "{bad:02x?} was answered");
        }
    }
}
