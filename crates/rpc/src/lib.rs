//! What the command line and the control service say to each other over a pair of byte streams: frames, and a greeting that
//! tells whether they understand each other.
//!
//! Nothing here reads or writes: [`Decoder`] takes bytes as they come and gives frames, [`Frame::encode`] the way back.

mod caller;
mod frame;
mod hello;
pub mod message;
mod parts;

pub use caller::{Caller, Identity};
pub use frame::{Channel, Decoder, Frame, FrameError, LONGEST_CHUNK, LONGEST_MESSAGE};
pub use hello::{Hello, Mismatch, PROTOCOL, agree};
pub use parts::{MOST_PARTS, has_few_parts};
