//! The whole service over a bucket, a Swarm, a registry and a database server in memory, asked as the command line asks it: through a socket.

mod collect;
mod config;
mod databases;
mod deaths;
mod ends;
mod import;
mod links;
mod nodes;
mod outcomes;
mod people;
mod releases;
mod removals;
mod world;
