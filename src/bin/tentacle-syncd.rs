//! The sync server: collects from isolated networks.

fn main() {}
