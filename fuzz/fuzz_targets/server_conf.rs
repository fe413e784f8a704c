#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tentacle_sync::config::server::fuzz_server_conf(data));
