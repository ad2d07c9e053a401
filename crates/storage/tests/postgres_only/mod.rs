//! What is particular to the PostgreSQL engine: several servers on one database, and what can be lost on the way.

mod faults;
mod proxy;
mod safety;
mod sharing;
mod tls;
