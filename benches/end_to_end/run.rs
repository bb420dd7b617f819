//! One run of a sender under load, and what was measured of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::machine::size_of;
use crate::sender::{Home, Sender};
use crate::wire::{BODY, Load, Times, clients, percentile};

/// Nothing of it is measured: connections are made, statements prepared, caches filled.
const WARM: Duration = Duration::from_secs(1);
/// Until all that was accepted has arrived.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Arrivals a second.
    pub rate: f64,
    /// Arrivals for each second of processor of the sender.
    pub per_cpu: f64,
    /// From handing over to the acknowledgement.
    pub acknowledged: Latency,
    /// From handing over to the arrival.
    pub arrived: Latency,
    /// Answers that asked to come again.
    pub refused: u64,
    /// In memory at most, in bytes.
    pub memory: u64,
    /// Accepted and not arrived, at the end of the measured time.
    pub behind: u64,
    /// Bytes written for each byte of a body that arrived.
    pub written: f64,
    /// Bytes on disk for each byte of a body, when all has arrived and the sender has ended.
    pub kept: f64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    pub p50: Duration,
    pub p99: Duration,
}

impl Latency {
    fn of(took: &[Duration]) -> Latency {
        Latency { p50: percentile(took, 500), p99: percentile(took, 990) }
    }
}

/// A load on a sender for so long; then all that was accepted arrives.
pub fn run(home: &Home, sender: Sender, load: Load, times: &Arc<Times>, lasting: Duration) -> Run {
    run_some(home, sender, load, times, lasting, |_| true)
}

/// The same, where only `some` events are to arrive.
pub fn run_some(
    home: &Home,
    sender: Sender,
    load: Load,
    times: &Arc<Times>,
    lasting: Duration,
    some: impl Fn(u32) -> bool,
) -> Run {
    let process = sender.process();
    let pause = Arc::new(AtomicBool::new(false));
    let clients = clients(load, times, &pause);
    std::thread::sleep(WARM);
    process.forget_peak();
    let count = |counted: &AtomicU64| counted.load(Ordering::Relaxed);
    let (from, begun) = (times.now(), Instant::now());
    let before = (process.processor(), process.written(), count(&times.count_arrived));
    std::thread::sleep(lasting);
    let (until, took) = (times.now(), begun.elapsed().as_secs_f64());
    let used = (process.processor() - before.0).as_secs_f64();
    let arrived = (count(&times.count_arrived) - before.2) as f64;
    let written = (process.written() - before.1) as f64;
    let behind = times.missing(&some);
    let memory = process.memory().1;
    pause.store(true, Ordering::Relaxed);
    clients.stop();
    let patience = Instant::now() + PATIENCE;
    while times.missing(&some) > 0 {
        assert!(Instant::now() < patience, "not all that was accepted arrives");
        std::thread::sleep(Duration::from_millis(50));
    }
    // The outcomes are on disk, too, when it has ended.
    sender.stop();
    let all = count(&times.count_arrived) as f64;
    Run {
        rate: arrived / took,
        per_cpu: arrived / used,
        acknowledged: Latency::of(&times.took(&times.sent, &times.acknowledged, (from, until), &some)),
        arrived: Latency::of(&times.took(&times.sent, &times.arrived, (from, until), &some)),
        refused: count(&times.refused),
        memory,
        behind,
        written: written / (arrived * BODY as f64),
        kept: size_of(home.path()) as f64 / (all * BODY as f64),
    }
}

/// The one in the middle, by `key`.
pub fn middle<T: Clone>(runs: &[T], key: impl Fn(&T) -> f64) -> T {
    let mut sorted: Vec<&T> = runs.iter().collect();
    sorted.sort_by(|a, b| key(a).total_cmp(&key(b)));
    sorted[sorted.len() / 2].clone()
}
