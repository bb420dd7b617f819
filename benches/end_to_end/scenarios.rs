//! The scenarios, one for each question: what is started, under which load, and which lines of the table it fills.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postrider::endpoint::Scheme;
use postrider::signature::{self, Signed};

use crate::batch;
use crate::fill::{Backlog, fill};
use crate::machine::sync_of;
use crate::run::{Run, middle, run};
use crate::sender::Home;
use crate::table::{Line, grouped, mb, ms};
use crate::wire::{Load, Manner, Side, Times, receiver};

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Of each measured run.
    pub lasting: Duration,
    pub sustained: Duration,
    /// The one in the middle counts.
    pub rounds: usize,
    pub backlog: u64,
    pub endpoints: usize,
}

impl Scale {
    pub const WHOLE: Scale = Scale {
        lasting: Duration::from_secs(5),
        sustained: Duration::from_secs(60),
        rounds: 5,
        backlog: 5_000_000,
        endpoints: 10_000,
    };
    pub const QUICK: Scale = Scale {
        lasting: Duration::from_secs(2),
        sustained: Duration::from_secs(4),
        rounds: 1,
        backlog: 200_000,
        endpoints: 300,
    };
}

/// A rate and a latency against something that grows, for the plot.
#[derive(Clone, Debug)]
pub struct Point {
    pub at: f64,
    pub rate: f64,
    pub p99: Duration,
}

const MILLION: f64 = 1e6;
/// Events that one run may hand over: more than any machine does.
const MOST: f64 = 150_000.0;

fn times_for(lasting: Duration) -> Arc<Times> {
    Times::of((MOST * (lasting.as_secs_f64() + 3.0)) as usize)
}

fn to_acme(port: u16, connections: usize, rate: Option<f64>) -> Load {
    Load { port, connections, rate, endpoint: Arc::new(|_| "acme".to_owned()) }
}

/// One endpoint that accepts, at saturation unless there is a rate.
fn ours(settings: &str, lasting: Duration, rate: Option<f64>) -> Run {
    let times = times_for(lasting);
    let (_receiver, port) = receiver(&times, Manner::Accept);
    let home = Home::new(settings);
    home.add_endpoint("acme", port);
    let sender = home.serve();
    let load = to_acme(sender.port, CONNECTIONS, rate);
    run(&home, sender, load, &times, lasting)
}

fn bare(lasting: Duration, rate: Option<f64>) -> Run {
    let times = times_for(lasting);
    let (_receiver, port) = receiver(&times, Manner::Accept);
    let home = Home::new("");
    let sender = home.bare(port);
    let load = to_acme(sender.port, CONNECTIONS, rate);
    run(&home, sender, load, &times, lasting)
}

const CONNECTIONS: usize = 64;
/// As many attempts in flight as the bare loop has. The default is kinder to receivers.
const WIDE: &str = "[delivery]\nconcurrency_per_endpoint = 64\n";

pub fn saturation(scale: Scale, lines: &mut Vec<Line>) {
    let pairs: Vec<(Run, Run)> =
        (0..scale.rounds).map(|_| (bare(scale.lasting, None), ours(WIDE, scale.lasting, None))).collect();
    let ratio = |of: fn(&Run) -> f64| {
        let (bare, ours) = middle(&pairs, |(bare, ours)| of(ours) / of(bare));
        (of(&bare), of(&ours), of(&ours) / of(&bare))
    };
    let (yardstick, measured, share) = ratio(|run| run.per_cpu);
    lines.push(Line {
        what: "events delivered per second of processor, at saturation",
        target: ">= 60 % of the bare loop",
        measured: format!("{} ({:.0} %)", grouped(measured), share * 100.0),
        beside: format!("{}, the bare loop", grouped(yardstick)),
        met: share >= 0.6,
    });
    let (bare_long, ours_long) = (bare(scale.sustained, None), ours(WIDE, scale.sustained, None));
    let share = ours_long.rate / bare_long.rate;
    lines.push(Line {
        what: "events delivered per second, sustained for a minute",
        target: ">= 60 % of the bare loop",
        measured: format!("{} ({:.0} %)", grouped(ours_long.rate), share * 100.0),
        beside: format!("{}, the bare loop", grouped(bare_long.rate)),
        met: share >= 0.6,
    });
    let (acknowledged, behind) = (ours_long.acknowledged, ours_long.behind);
    lines.push(Line {
        what: "acknowledgement at saturation, 64 clients",
        target: "p99 <= 20 ms, no error",
        measured: format!("p50 {}, p99 {}, {} refused", ms(acknowledged.p50), ms(acknowledged.p99), ours_long.refused),
        beside: format!(
            "p99 {}, the bare loop; {} accepted and not arrived at the end",
            ms(bare_long.acknowledged.p99),
            grouped(behind as f64)
        ),
        met: acknowledged.p99 <= Duration::from_millis(20) && ours_long.refused == 0,
    });
    lines.push(Line {
        what: "memory, saturated for a minute",
        target: "<= 120 MB",
        measured: mb(ours_long.memory),
        beside: format!("{}, the bare loop", mb(bare_long.memory)),
        met: ours_long.memory <= 120_000_000,
    });
    lines.push(Line {
        what: "disk kept per delivered event",
        target: "<= 1.35 x body",
        measured: format!("{:.2} x", ours_long.kept),
        beside: format!("{:.2} x, the bare loop", bare_long.kept),
        met: ours_long.kept <= 1.35,
    });
    lines.push(Line {
        what: "written per delivered event",
        target: "<= 3.5 x body",
        measured: format!("{:.2} x", ours_long.written),
        beside: format!("{:.2} x, the bare loop", bare_long.written),
        met: ours_long.written <= 3.5,
    });
}

pub fn latency(scale: Scale, lines: &mut Vec<Line>) {
    for rate in [50.0, 300.0] {
        let disk = sync_of(Home::new("").path());
        let pairs: Vec<(Run, Run)> =
            (0..scale.rounds).map(|_| (bare(scale.lasting, Some(rate)), ours("", scale.lasting, Some(rate)))).collect();
        let bare = middle(&pairs, |(bare, _)| bare.arrived.p99.as_secs_f64()).0.arrived;
        let ours = middle(&pairs, |(_, ours)| ours.arrived.p99.as_secs_f64()).1.arrived;
        let beyond = (ours.p50.saturating_sub(disk.0), ours.p99.saturating_sub(disk.1));
        lines.push(Line {
            what: if rate < 100.0 { "handed over -> arrived, at 50/s" } else { "handed over -> arrived, at 300/s" },
            target: "p50 <= 1 ms, p99 <= 2.5 ms beyond one sync",
            measured: format!("p50 {}, p99 {}", ms(ours.p50), ms(ours.p99)),
            beside: format!(
                "p50 {}, p99 {}, the bare loop; a sync p50 {}, p99 {}",
                ms(bare.p50),
                ms(bare.p99),
                ms(disk.0),
                ms(disk.1)
            ),
            met: beyond.0 <= Duration::from_millis(1) && beyond.1 <= Duration::from_micros(2500),
        });
    }
}

pub fn start(scale: Scale, lines: &mut Vec<Line>) {
    let starts: Vec<(f64, u64)> = (0..scale.rounds.max(3))
        .map(|_| {
            let home = Home::new("");
            let sender = home.serve();
            let ready = sender.ready_after.as_secs_f64();
            std::thread::sleep(Duration::from_secs(1));
            (ready, sender.process().memory().0)
        })
        .collect();
    let (ready, memory) = middle(&starts, |start| start.0);
    lines.push(Line {
        what: "ready, with an empty store",
        target: "<= 300 ms",
        measured: ms(Duration::from_secs_f64(ready)),
        beside: String::new(),
        met: ready <= 0.3,
    });
    lines.push(Line {
        what: "memory, idle",
        target: "<= 20 MB",
        measured: mb(memory),
        beside: String::new(),
        met: memory <= 20_000_000,
    });
}

/// Endpoints that are owed a backlog, and `acme`, which is not.
fn with_backlog(backlog: Backlog, accepts: u16, hangs: u16) -> Home {
    let home = Home::new("");
    home.add_endpoint("acme", accepts);
    home.add_endpoint("blocked", hangs);
    (0..10).for_each(|number| home.add_endpoint(&format!("later-{number}"), hangs));
    fill(&home, backlog);
    home
}

pub fn backlog(scale: Scale, lines: &mut Vec<Line>, points: &mut Vec<Point>) {
    let (mut empty, mut full) = (Vec::new(), Vec::new());
    let times = times_for(scale.lasting);
    let (_side, hangs) = receiver(&times, Manner::Hang);
    let sizes = [scale.backlog / 500, scale.backlog / 50, scale.backlog / 5, scale.backlog];
    for pending in sizes {
        let times = times_for(scale.lasting);
        let (_receiver, accepts) = receiver(&times, Manner::Accept);
        let home = with_backlog(Backlog { pending, due: pending / 5 }, accepts, hangs);
        let largest = pending == scale.backlog;
        if largest {
            verbs(&home, scale, lines);
        }
        let rounds = if largest { scale.rounds } else { 1 };
        let mut runs = Vec::new();
        for round in 0..rounds {
            empty.push(ours(WIDE, scale.lasting, None));
            let times = if round == 0 { times.clone() } else { times_for(scale.lasting) };
            let (_receiver, accepts) = receiver(&times, Manner::Accept);
            let url = format!("http://127.0.0.1:{accepts}/hook");
            home.verb(&["endpoint", "edit", "acme", "--url", &url]);
            let sender = home.serve();
            if largest && round == 0 {
                begun(&sender, &times, lines);
            }
            let load = to_acme(sender.port, CONNECTIONS, None);
            let run = run(&home, sender, load, &times, scale.lasting);
            runs.push(run.clone());
            if largest {
                full.push((empty.last().expect("run just now").clone(), run));
            }
        }
        let run = middle(&runs, |run| run.rate);
        points.push(Point { at: pending as f64, rate: run.rate, p99: run.acknowledged.p99 });
    }
    let share = |of: fn(&Run) -> f64| {
        let (empty, full) = middle(&full, |(empty, full)| of(full) / of(empty));
        (of(&empty), of(&full), of(&full) / of(&empty))
    };
    let (rate, cpu) = (share(|run| run.rate), share(|run| run.per_cpu));
    lines.push(Line {
        what: "rate with 5,000,000 pending, 1,000,000 of them due in a blocked lane",
        target: ">= 85 % of an empty store's",
        measured: format!(
            "{} a second ({:.0} %), {} per second of processor ({:.0} %)",
            grouped(rate.1),
            rate.2 * 100.0,
            grouped(cpu.1),
            cpu.2 * 100.0
        ),
        beside: format!("{} a second, {}, an empty store", grouped(rate.0), grouped(cpu.0)),
        met: rate.2 >= 0.85 && cpu.2 >= 0.85,
    });
}

/// The first start on a store with a backlog.
fn begun(sender: &crate::sender::Sender, times: &Arc<Times>, lines: &mut Vec<Line>) {
    let (pause, begun) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let client = crate::wire::clients(to_acme(sender.port, 1, Some(100.0)), times, &pause);
    while times.count_arrived.load(Ordering::Relaxed) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing arrives");
        std::thread::sleep(Duration::from_micros(200));
    }
    let first = begun.elapsed();
    pause.store(true, Ordering::Relaxed);
    client.stop();
    std::thread::sleep(Duration::from_secs(1));
    let memory = sender.process().memory().0;
    lines.push(Line {
        what: "ready, with 5,000,000 pending",
        target: "<= 2 s, first delivery <= 200 ms later",
        measured: format!("{}, then {}", ms(sender.ready_after), ms(first)),
        beside: String::new(),
        met: sender.ready_after <= Duration::from_secs(2) && first <= Duration::from_millis(200),
    });
    lines.push(Line {
        what: "memory, with 5,000,000 pending",
        target: "<= 150 MB",
        measured: mb(memory),
        beside: String::new(),
        met: memory <= 150_000_000,
    });
}

/// What the command line takes on a store of that size.
fn verbs(home: &Home, scale: Scale, lines: &mut Vec<Line>) {
    let some = format!("fill-{:09}", scale.backlog / 10);
    let verbs: [&[&str]; 4] = [&["list"], &["show", &some], &["why", &some], &["status"]];
    let mut measured = Vec::new();
    let mut worst = Duration::ZERO;
    for words in verbs {
        let took: Vec<Duration> = (0..5)
            .map(|_| {
                let begun = Instant::now();
                home.verb(words);
                begun.elapsed()
            })
            .collect();
        let took = middle(&took, Duration::as_secs_f64);
        worst = worst.max(took);
        measured.push(format!("{} {}", words[0], ms(took)));
    }
    lines.push(Line {
        what: "command line, on a store of 5,000,000 events",
        target: "<= 50 ms each",
        measured: measured.join(", "),
        beside: String::new(),
        met: worst <= Duration::from_millis(50),
    });
}

/// A thousand events a second over ten endpoints; the tenth is as `manner` says.
fn tenth(manner: Manner, lasting: Duration) -> Run {
    let times = times_for(lasting);
    let (_good, accepts) = receiver(&times, Manner::Accept);
    let (_other, other): (Side, u16) = receiver(&times, manner);
    let home = Home::new("");
    for number in 0..10 {
        home.add_endpoint(&format!("e{number}"), if number == 9 { other } else { accepts });
    }
    let sender = home.serve();
    let hangs = manner == Manner::Hang;
    let endpoint = move |number: u32| format!("e{}", if hangs { number % 10 } else { number % 9 });
    let load = Load { port: sender.port, connections: CONNECTIONS, rate: Some(1000.0), endpoint: Arc::new(endpoint) };
    crate::run::run_some(&home, sender, load, &times, lasting, move |number| !hangs || number % 10 != 9)
}

pub fn hanging(scale: Scale, lines: &mut Vec<Line>) {
    let pairs: Vec<(Run, Run)> =
        (0..scale.rounds).map(|_| (tenth(Manner::Accept, scale.lasting), tenth(Manner::Hang, scale.lasting))).collect();
    let share = |of: fn(&Run) -> f64| {
        let (without, with) = middle(&pairs, |(without, with)| of(with) / of(without));
        (without.arrived, with.arrived, of(&with) / of(&without))
    };
    let (half, most) = (share(|run| run.arrived.p50.as_secs_f64()), share(|run| run.arrived.p99.as_secs_f64()));
    lines.push(Line {
        what: "one of ten endpoints hangs, 1,000 events a second: the healthy",
        target: "p50 and p99 <= 1.5 x of a run without it",
        measured: format!("p50 {} ({:.2} x), p99 {} ({:.2} x)", ms(half.1.p50), half.2, ms(most.1.p99), most.2),
        beside: format!("p50 {}, p99 {} without it", ms(half.0.p50), ms(most.0.p99)),
        met: half.2 <= 1.5 && most.2 <= 1.5,
    });
}

/// Events to `count` endpoints, few of which get most of them; every twentieth endpoint is dead.
fn spread(count: usize, rate: Option<f64>, lasting: Duration) -> Run {
    let times = times_for(lasting);
    let (_good, accepts) = receiver(&times, Manner::Accept);
    let (_dead, fails) = receiver(&times, Manner::Fail);
    let home = Home::new("");
    home.add_endpoint("e0", accepts);
    crate::fill::endpoints(&home, count, accepts, fails);
    let sender = home.serve();
    let chosen = zipf(count);
    let endpoint = move |number: u32| format!("e{}", chosen[number as usize % chosen.len()]);
    let load = Load { port: sender.port, connections: CONNECTIONS, rate, endpoint: Arc::new(endpoint) };
    let chosen = zipf(count);
    crate::run::run_some(&home, sender, load, &times, lasting, move |number| {
        count == 1 || !is_dead(chosen[number as usize % chosen.len()])
    })
}

/// Every twentieth, but the first.
pub fn is_dead(endpoint: usize) -> bool {
    endpoint % 20 == 19
}

/// A long series of endpoints: the n-th comes 1/n as often as the first.
fn zipf(count: usize) -> Vec<usize> {
    let weights: Vec<f64> = (1..=count).map(|rank| 1.0 / rank as f64).collect();
    let all: f64 = weights.iter().sum();
    let mut sums = weights
        .iter()
        .scan(0.0, |sum, weight| {
            *sum += weight / all;
            Some(*sum)
        })
        .collect::<Vec<f64>>();
    *sums.last_mut().expect("at least one") = 1.0;
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    (0..1 << 16)
        .map(|_| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let drawn = (dice >> 11) as f64 / (1_u64 << 53) as f64;
            sums.partition_point(|sum| *sum < drawn)
        })
        .collect()
}

pub fn endpoints(scale: Scale, lines: &mut Vec<Line>, points: &mut Vec<Point>) {
    const CALM: f64 = 1000.0;
    let counts = [1, 10, scale.endpoints / 10, scale.endpoints];
    let (mut calm, mut full) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        calm.push((spread(1, Some(CALM), scale.lasting), spread(scale.endpoints, Some(CALM), scale.lasting)));
    }
    for count in counts {
        let run = spread(count, None, scale.lasting);
        points.push(Point { at: count as f64, rate: run.rate, p99: run.acknowledged.p99 });
        full.push(run);
    }
    let (one, many) = (full.first().expect("run"), full.last().expect("run"));
    let share = many.rate / one.rate;
    let (calm_one, calm_many) =
        middle(&calm, |(one, many)| many.arrived.p99.as_secs_f64() / one.arrived.p99.as_secs_f64());
    let slower = calm_many.arrived.p99.as_secs_f64() / calm_one.arrived.p99.as_secs_f64();
    lines.push(Line {
        what: "10,000 endpoints by Zipf's law, 5 % of them dead: the healthy",
        target: "p99 <= 1.5 x of one endpoint's, rate >= 80 %",
        measured: format!(
            "p99 {} ({slower:.2} x) at 1,000/s, {} a second ({:.0} %)",
            ms(calm_many.arrived.p99),
            grouped(many.rate),
            share * 100.0
        ),
        beside: format!("p99 {}, {} a second, one endpoint", ms(calm_one.arrived.p99), grouped(one.rate)),
        met: slower <= 1.5 && share >= 0.8,
    });
}

pub fn batches(scale: Scale, lines: &mut Vec<Line>) {
    let home = Home::new("");
    home.verb(&["endpoint", "add", "acme", "http://127.0.0.1:9/", "--profile", "ensuro", "--secret-file", "secret"]);
    home.verb(&["endpoint", "pause", "acme"]);
    let sender = home.serve();
    let count = (scale.lasting.as_secs_f64() * MILLION / 20.0) as u32;
    let rates: Vec<f64> =
        (0..scale.rounds).map(|round| batch::rate(sender.port, round as u32 * count, count)).collect();
    let rate = middle(&rates, |rate| *rate);
    lines.push(Line {
        what: "batch intake (NDJSON), accepted durably",
        target: ">= 100,000 a second",
        measured: format!("{} a second", grouped(rate)),
        beside: String::new(),
        met: rate >= 100_000.0,
    });
}

/// Signing that takes longer than everything else: what it costs, and whom it keeps waiting.
pub fn signatures(scale: Scale, lines: &mut Vec<Line>) {
    const RATE: f64 = 2000.0;
    let signed = |eip191: bool| {
        let times = times_for(scale.lasting);
        let (_receiver, port) = receiver(&times, Manner::Accept);
        let home = Home::new("");
        home.add_endpoint_with("acme", port, if eip191 { "--key-file" } else { "--secret-file" });
        let sender = home.serve();
        let load = to_acme(sender.port, CONNECTIONS, Some(RATE));
        run(&home, sender, load, &times, scale.lasting)
    };
    let pairs: Vec<(Run, Run)> = (0..scale.rounds).map(|_| (signed(false), signed(true))).collect();
    let (hmac, eip191) = middle(&pairs, |(hmac, eip191)| 1.0 / eip191.per_cpu - 1.0 / hmac.per_cpu);
    let more = (1.0 / eip191.per_cpu - 1.0 / hmac.per_cpu) * MILLION;
    let alone = alone();
    lines.push(Line {
        what: "EIP-191 instead of HMAC, 2,000 events a second",
        target: "no more than its own CPU; nobody waits for it",
        measured: format!("{more:.0} us more CPU an event; acknowledgement p99 {}", ms(eip191.acknowledged.p99)),
        beside: format!("{alone:.0} us to sign, alone; acknowledgement p99 {} with HMAC", ms(hmac.acknowledged.p99)),
        met: more <= alone * 1.25 && eip191.acknowledged.p99 <= hmac.acknowledged.p99 * 3 / 2,
    });
}

/// Microseconds that one EIP-191 signature of a body takes on a thread of its own.
fn alone() -> f64 {
    const SIGNATURES: u32 = 500;
    let key = signature::read_key(Scheme::Eip191, crate::sender::KEY.as_bytes()).expect("a key");
    let body = crate::wire::body(1);
    let signed = Signed { event_id: "msg_1", timestamp: 1_793_491_200, body: &body };
    let begun = Instant::now();
    for _ in 0..SIGNATURES {
        std::hint::black_box(signature::headers([&key], &signed, None));
    }
    begun.elapsed().as_secs_f64() * MILLION / f64::from(SIGNATURES)
}
