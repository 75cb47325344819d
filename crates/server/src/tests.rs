//! The whole service over a bucket, a Swarm, a registry and a database server in memory, asked as the command line asks it: through a socket.

mod admissions;
mod apps;
mod audit;
mod beginnings;
mod collect;
mod config;
mod core_apps;
mod cuts;
mod databases;
mod deaths;
mod edges;
mod ends;
mod import;
mod intake;
mod links;
mod logins;
mod logs;
mod nodes;
mod outcomes;
mod people;
mod programs;
mod pushes;
mod releases;
mod removals;
mod rights;
mod vault;
pub(crate) mod world;
