//! `postrider sandbox` as a partner's developer runs it: the real binary, their requests over HTTP, and a receiver of theirs
//! that verifies what it gets. Nothing waits for a real schedule: the sandbox's own clock is moved.

mod control;
mod crash;
mod ensuro;
mod harness;
mod octamile;
mod refused;
