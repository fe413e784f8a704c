//! The integration tests, in one program.
#![cfg(test)]

mod buffer;
mod chaos;
mod cli;
mod collect;
mod consumer;
mod crash;
mod daemon;
mod dialogues;
mod disk;
mod double;
mod leaving;
mod life;
mod listing;
mod many;
mod moved;
mod proxy;
mod relay;
mod reload;
mod server_process;
mod site;
mod stock;
mod support;
mod tls;
mod trouble;
mod vectors;
