#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tentacle_sync::tls::fuzz_v1(data));
