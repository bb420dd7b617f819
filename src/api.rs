//! The HTTP API: an entrance for programs, on this machine or behind a proxy, by TCP or a unix socket.
//! Everything is JSON, and every refusal is a problem (RFC 9457) that says what is wrong and what to do.
//! It decides nothing: it reads a request within limits, asks the daemon, and words the answer.

pub mod body;
pub mod docs;
pub mod guard;
pub mod json;
pub mod listen;
pub mod problem;
pub mod query;
pub mod server;
mod stream;
