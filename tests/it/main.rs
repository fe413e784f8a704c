//! The integration tests, in one program.
#![cfg(test)]

mod collect;
mod crash;
mod daemon;
mod dialogues;
mod double;
mod life;
mod listing;
mod proxy;
mod site;
mod stock;
mod support;
mod tls;
mod trouble;
mod vectors;
