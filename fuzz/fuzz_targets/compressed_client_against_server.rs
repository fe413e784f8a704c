#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tentacle_sync::proto::fuzzing::compressed_client_against_server(data));
