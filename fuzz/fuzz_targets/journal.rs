#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tentacle_sync::store::fuzz_journal(data));
