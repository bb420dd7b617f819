//! The tests that see postrider from outside: stores, courier, simulation, command line and the real binary.

mod api;
mod api_server;
mod check;
mod cli;
mod conformance;
mod courier;
mod demo;
mod foreign;
mod isolation;
mod listen;
mod look;
mod migrating;
mod mock;
mod process;
mod readme;
mod receivers;
mod sandbox;
mod sim;
mod telemetry;
mod tidy;

use process::harness;
