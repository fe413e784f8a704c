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
mod kept;
mod life;
mod limits;
mod listing;
mod many;
mod moving;
mod ours;
mod outside;
mod program;
mod proxy;
mod relaying;
mod reloading;
mod rules;
mod server_process;
mod site;
mod stock;
mod stock_client;
mod supervised;
mod support;
mod tls;
mod trouble;
mod vectors;
