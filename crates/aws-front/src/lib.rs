//! The AWS API of the local cloud: a proxy in front of the emulator (moto) that completes its answers, decides on S3, KMS and Route 53 for
//! nodes, answers the EBS direct APIs and injects faults.

pub mod addressing;
mod call;
pub mod catalogue;
mod classify;
pub mod clients;
pub mod clock;
pub mod ebs;
mod error_body;
pub mod faults;
pub mod form;
pub mod guard;
pub mod images;
pub mod listener;
pub mod operations;
mod proxy;
pub mod record;
mod resign;
pub mod server;
mod service;
pub mod sessions;
pub mod terminating;
pub mod upstream;
mod xml;

pub use proxy::Front;
