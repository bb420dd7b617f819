//! Mutated input for whatever reads what others wrote: a bounded time for each reader, from samples that are valid, by dice
//! whose seed is printed. No panic, and what each promises: no forbidden address passes, no header breaks a request, no
//! forged signature is good, no retry comes early.

mod api;
mod mutated;
mod readers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::campaign::{Campaign, Figures};
use mutated::Mutator;

/// Reads one input, and fails if that comes to what must not be.
type Reader = fn(&[u8]);

pub fn run(campaign: &Campaign) -> Figures {
    let mut figures = Figures::default();
    let each = Duration::from_millis(campaign.pick(1_200, 10_000));
    let mut told = Vec::new();
    for (number, (name, samples, reader)) in readers::all().into_iter().enumerate() {
        let mut mutator = Mutator::new(samples, campaign.dice(number as u64 + 1));
        let (begun, mut inputs) = (Instant::now(), 0_u64);
        while begun.elapsed() < each {
            for _ in 0..50 {
                let input = mutator.next();
                let read = catch_unwind(AssertUnwindSafe(|| reader(&input)));
                assert!(read.is_ok(), "{name} fails at {:?}", String::from_utf8_lossy(&input));
                inputs += 1;
            }
        }
        figures.cycles += inputs;
        told.push(format!("{name} {inputs}"));
        campaign.progress(number as u64, 10, name);
    }
    let asked = api::run(each * 4, &mut campaign.dice(100));
    figures.cycles += asked;
    told.push(format!("requests to the API {asked}"));
    figures.note(told.join(", "));
    figures
}
