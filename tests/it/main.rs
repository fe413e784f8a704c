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
mod leaving;
mod life;
mod limits;
mod listing;
mod many;
mod moving;
mod ours;
mod outside;
mod parting;
mod program;
mod proxy;
mod relay;
mod reload;
mod rules;
mod server_process;
mod site;
mod stock;
mod stock_client;
mod support;
mod tls;
mod trouble;
mod vectors;
