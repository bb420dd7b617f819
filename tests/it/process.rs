//! The real binary: a daemon as a process of its own, real receivers on 127.0.0.1, and the store that both share.
//! Whatever adds endpoints and events here does it as another process would, through the library. Nothing sleeps
//! through a schedule: each endpoint has one of milliseconds, and every wait has a deadline.

mod clock;
mod command;
mod crash;
mod deliver;
mod disk;
mod drain;
pub mod harness;
mod log;
mod retry;
mod safety;
