//! Simulation: the real engine and the real SQLite store, in a world of simulated time, receivers, persons, crashes,
//! store faults and clock steps, all decided by one seed. At every step the promises are checked; then the faults stop and
//! every delivery must end. The same seed gives the same trace.
//!
//! `POSTRIDER_SEED=42 cargo test --test it sim::one_world -- --nocapture` shows one world.

mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

fn worlds() -> u64 {
    std::env::var("POSTRIDER_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1200)
}

/// Runs `run` over all seeds on all cores; a failure names its seed.
fn each_seed(run: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= worlds() {
                        return;
                    }
                    run(seed);
                }
            });
        }
    });
}

#[test]
fn every_world_keeps_the_promises_and_repeats_itself() {
    each_seed(|seed| {
        let first = World::new(seed).run();
        let again = World::new(seed).run();
        assert_eq!(first.trace, again.trace, "seed {seed} did not repeat itself");
    });
}

#[test]
fn the_worlds_are_not_all_quiet() {
    let mut sum = world::Report::default();
    for seed in 0..100 {
        let report = World::new(seed).run();
        sum.crashes += report.crashes;
        sum.store_faults += report.store_faults;
        sum.clock_steps += report.clock_steps;
        sum.delivered += report.delivered;
        sum.dead += report.dead;
        sum.unknown += report.unknown;
        sum.late_accepted += report.late_accepted;
        sum.buried += report.buried;
        sum.paused += report.paused;
        sum.cancelled += report.cancelled;
        sum.retried += report.retried;
    }
    println!("{sum:?}");
    assert!(sum.crashes > 20 && sum.store_faults > 50 && sum.clock_steps > 10, "{sum:?}");
    assert!(sum.delivered > 300 && sum.dead > 50 && sum.unknown > 20 && sum.buried > 5, "{sum:?}");
    assert!(sum.paused > 100 && sum.cancelled > 50 && sum.retried > 100, "{sum:?}");
}

#[test]
fn one_world() {
    let seed = std::env::var("POSTRIDER_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    let report = World::new(seed).told().run();
    println!("seed {seed}: {report:?}");
}
