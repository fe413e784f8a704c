//! Recordings of stock programs, in which text stands for bytes.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// All recordings of stock's `server` or `client`.
pub(crate) fn recordings_of<R: DeserializeOwned>(program: &str) -> Vec<R> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(program);
    let load = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.to_string_lossy()))
    };
    fs::read_dir(directory).unwrap().map(|entry| load(entry.unwrap().path())).collect()
}

/// The bytes that a recording's text stands for.
pub(crate) fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).expect("recordings are Latin-1")).collect()
}
