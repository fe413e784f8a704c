//! The integration tests, in one program.
#![cfg(test)]

mod buffer;
mod chain;
mod chaos;
mod cli;
mod client;
mod client_process;
mod client_vectors;
mod collect;
mod consumer;
mod crash;
mod daemon;
mod dialogues;
mod disk;
mod double;
mod life;
mod listing;
mod many;
mod proxy;
mod server_process;
mod site;
mod stock;
mod support;
mod tls;
mod trouble;
mod vectors;
