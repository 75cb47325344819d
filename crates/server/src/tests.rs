//! The whole service over a bucket, a Swarm and a registry in memory, asked as the command line asks it: through a socket.

mod config;
mod deaths;
mod releases;
mod world;
