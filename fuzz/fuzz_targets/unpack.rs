#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tentacle_sync::proto::fuzzing::unpack(data));
