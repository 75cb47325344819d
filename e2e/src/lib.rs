//! End-to-end tests: the real image in real virtual machines. They are in `e2e/tests/`, and `cargo xtask test` runs them.
