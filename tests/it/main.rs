//! The tests that see postrider from outside: stores, courier, simulation, command line and the real binary.

mod conformance;
mod courier;
mod isolation;
mod receivers;
mod sim;
