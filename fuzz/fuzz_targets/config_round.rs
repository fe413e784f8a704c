#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tentacle_sync::sync::remote_config::fuzz_config_round(data));
