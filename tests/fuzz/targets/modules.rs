//! What a power module sends: an identifier and up to eight bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voltry_power_module::FAMILIES;

fuzz_target!(|data: &[u8]| {
    let Some((id, data)) = data.split_first_chunk() else { return };
    for family in FAMILIES {
        let _ = (family.decode)(u32::from_be_bytes(*id), data);
    }
});
