#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cheops_fuzz::envelope::envelope(data));
