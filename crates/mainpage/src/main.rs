//! futuswarm-mainpage
fn main() {}
