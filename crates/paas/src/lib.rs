//! Apps as rules: who may do what with them. Plain decisions over values; the control service asks, and acts on the answers.

pub mod access;
pub mod collection;
pub mod config;
pub mod links;
pub mod rollout;
pub mod settings;
