//! sites
fn main() {}
