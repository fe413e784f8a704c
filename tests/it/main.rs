//! The integration tests, in one program.
#![cfg(test)]

mod dialogues;
mod double;
mod stock;
mod support;
mod vectors;
