//! The contract test of a receiver: sends what a provider may send, and what a forger would, and says what the receiver
//! made of it. Everything is rendered, signed, carried and judged by what deliveries use; nothing is stored.
//! What is sent follows from a seed. No secret stands in what is found.

pub mod case;
pub mod judgement;
mod notification;
mod receiver;
pub mod report;
mod run;
mod tampered;

pub use notification::Amend;
pub use run::{Couriers, Plan, Told, run};
