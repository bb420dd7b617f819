//! postrider: a webhook sender that keeps every notification in one SQLite file until it is delivered or provably
//! cannot be.
//!
//! The map, lowest layer first. A module names only modules of lower layers; engine and doors never see each other.
//! Layers 0 to 2 mention no clock, no chance, no async, no file and no socket: time and draws are arguments.

#![forbid(unsafe_code)]

// 0 words: know nothing but std
pub mod access;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod log;
pub mod plain;
pub mod time;
pub mod trace;

// 1 rules: pure functions over words
pub mod calendar;
pub mod judge;
pub mod provider;
pub mod request;
pub mod schedule;
pub mod signature;

// 2 engine: the pure state machine
pub mod engine;

// 3 doors: touch the world
pub mod config;
pub mod courier;
pub mod observe;
pub mod store;

// 4 shell
pub mod check;
pub mod daemon;
pub mod operations;

// 5 entrances
pub mod api;
pub mod cli;
pub mod sandbox;
