//! The built program, with a fake `ssh` and a cluster that is a thread of the test.

#[path = "program/archive.rs"]
mod archive;
#[path = "program/fake.rs"]
mod fake;

#[path = "program/answers.rs"]
mod answers;
#[path = "program/cluster.rs"]
mod cluster;
#[path = "program/config.rs"]
mod config;
#[path = "program/deploy.rs"]
mod deploy;
#[path = "program/faults.rs"]
mod faults;
#[path = "program/links.rs"]
mod links;
#[path = "program/login.rs"]
mod login;
#[path = "program/old.rs"]
mod old;
#[path = "program/private_login.rs"]
mod private_login;
#[path = "program/push.rs"]
mod push;
#[path = "program/run.rs"]
mod run;
#[path = "program/visitors.rs"]
mod visitors;
