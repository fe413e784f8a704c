//! The integration tests, in one program.
#![cfg(test)]

mod collect;
mod daemon;
mod dialogues;
mod double;
mod listing;
mod proxy;
mod site;
mod stock;
mod support;
mod tls;
mod trouble;
mod vectors;
