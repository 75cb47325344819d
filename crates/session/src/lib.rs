//! The way in over SSH. sshd asks [`authorized_keys`] whose a key is, and runs [`relay`] as its forced command, which passes bytes
//! between the client and the control service's socket.
//!
//! Both run without privileges, and neither understands what is said. sshd passes the logins' file no further than here.

mod lookup;
mod relay;

pub use lookup::{PROGRAM, Refusal, line};
pub use relay::{SessionError, caller, relay};

/// The exit code of a session that finds no control service: `EX_UNAVAILABLE` of sysexits.h.
pub const UNAVAILABLE: u8 = 69;
