//! The integration tests, in one program.
#![cfg(test)]

mod chaos;
mod cli;
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
mod site;
mod stock;
mod support;
mod tls;
mod trouble;
mod vectors;
