//! What a vehicle, or anybody on its link, sends by UDP.
#![no_main]

use std::net::{Ipv6Addr, SocketAddrV6};

use libfuzzer_sys::fuzz_target;
use voltry_secc::tls::Mode;

fuzz_target!(|data: &[u8]| {
    let listener = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 50_000, 0, 0);
    for mode in [Mode::Off, Mode::Allowed, Mode::Required] {
        if let Ok(answer) = voltry_secc::v2g::sdp::answer(data, listener, mode) {
            assert_eq!((data.len(), answer.len()), (10, 28));
        }
    }
});
