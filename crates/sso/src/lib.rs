//! The login in front of the private domain: Apache's configuration, and who may use which app. No input or output. The edge agent writes
//! what comes out, and runs Apache with it.
//!
//! [`render`] makes three files of a [`Login`]; none of them is secret. A fourth, with the client's secret and the passphrase, is made by
//! [`secrets`] and comes out as a secret. Whoever writes them keeps to this:
//!
//! - The maps are replaced in one step (a rename): Apache reads them again when their time changes, also in the middle of a write.
//! - Between two changes of a map pass 20 ms: files that are written within one tick of the kernel's clock have the same time, and Apache
//!   goes on with the first of them (seen: somebody who was not locked out any more stayed so).
//! - Every host one label below the domain that somebody has asked for stays in the memory of Apache's process until the map changes, also
//!   one that nobody has: 0.4 KB each (seen), and nobody has to sign in for it. The maps are therefore written again every five minutes.
//! - [`CONFIG_FILE`] and [`SECRETS_FILE`] need a reload (`SIGUSR1`); the maps need none.

mod access;
pub mod check;
mod config;
mod error;
mod login;
mod maps;
mod pages;
mod passphrase;

pub use access::{Access, App, Entry};
pub use config::{
    ALLOW_FILE, CONFIG_FILE, Files, LISTEN_PORT, LOCKED_FILE, PROGRAM, SECRETS_FILE, arguments, environment, render,
};
pub use error::Error;
pub use login::{Claims, Login, Places, Provider, Sessions, TokenAuth};
pub use passphrase::{Passphrases, check_client_secret, secrets};

#[cfg(test)]
mod tests;
