//! futuswarm-initrd
fn main() {}
