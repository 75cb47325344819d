//! futuswarm-node
fn main() {}
