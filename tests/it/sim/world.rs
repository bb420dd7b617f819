//! One simulated world: what can happen in it, and what must hold whenever something did.

use std::cmp::Reverse;
mod checks;
mod doings;
mod making;
mod persons;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::hash::{DefaultHasher, Hash, Hasher};

use postrider::daemon::exchange;
use postrider::delivery::{Carried, DeliveryId, Lease, Reply as Answer, Timings};
use postrider::endpoint::EndpointId;
use postrider::engine::{Action, Engine, Input};
use postrider::signature;
use postrider::store::sqlite::SqliteStore;
use postrider::store::{Command, Reply, Store};
use postrider::time::{Span, Time};

use checks::{Flying, Heard, Watched};
use making::{Dice, Receiver};
use persons::Person;

#[derive(Debug, Default)]
pub struct Report {
    pub trace: u64,
    pub crashes: u32,
    pub store_faults: u32,
    pub clock_steps: u32,
    pub delivered: u32,
    pub dead: u32,
    pub unknown: u32,
    pub late_accepted: u32,
    pub buried: u32,
    pub paused: u32,
    pub cancelled: u32,
    pub retried: u32,
}

struct Running {
    engine: Engine,
    /// Grows with each crash: what was meant for an earlier life is dropped.
    life: u64,
    up: bool,
    draining: bool,
    tick_at: Option<i64>,
    stalled_until: i64,
}

#[derive(Debug)]
enum Happening {
    Enqueue,
    Tick {
        of: usize,
        life: u64,
    },
    /// The daemon saw that somebody else changed the store.
    Poll {
        of: usize,
        life: u64,
    },
    /// The daemon looks at everything again, as it does now and then.
    Round {
        of: usize,
        life: u64,
    },
    Batch {
        of: usize,
        life: u64,
        actions: Vec<Action>,
    },
    Told {
        of: usize,
        life: u64,
        input: Input,
    },
    /// The receiver has answered ...
    Arrives {
        of: usize,
        life: u64,
        lease: Lease,
        carried: Carried,
    },
    /// ... and the daemon hears it.
    Heard {
        of: usize,
        life: u64,
        lease: Lease,
        carried: Carried,
    },
    /// The daemon's process is stopped for a while, its connections are not.
    Stall {
        of: usize,
        ms: i64,
    },
    Crash {
        of: usize,
    },
    Drain {
        of: usize,
    },
    Start {
        of: usize,
    },
    Step {
        by: i64,
    },
    Remove {
        endpoint: EndpointId,
    },
    Asked(Person),
    Peace,
}

pub struct World {
    dice: Dice,
    store: SqliteStore,
    /// True time in ms; the wall clock shows `now + offset`.
    now: i64,
    offset: i64,
    order: u64,
    agenda: BinaryHeap<Reverse<(i64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    engines: Vec<Running>,
    receivers: BTreeMap<EndpointId, Receiver>,
    watched: BTreeMap<DeliveryId, Watched>,
    /// When attempts began, by engine, life and lane.
    begun: BTreeMap<(usize, u64, EndpointId), Vec<i64>>,
    /// Engines' lives that ended in a crash.
    crashed: BTreeSet<(usize, u64)>,
    acknowledged: u32,
    faults: bool,
    fault_percent: u64,
    alone: bool,
    trace: DefaultHasher,
    tell: bool,
    report: Report,
    seed: u64,
}

const SLACK: Span = Span::from_seconds(15);
const START: i64 = 1_790_000_000_000;

impl World {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed ^ 0x5EED);
        let count = if dice.percent(60) { 1 } else { dice.within(2, 3) as usize };
        let fault_percent = [0, 2, 10, 30][dice.below(4) as usize];
        let mut world = World {
            store: SqliteStore::in_memory().expect("memory"),
            dice,
            now: START,
            offset: 0,
            order: 0,
            agenda: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            engines: Vec::new(),
            receivers: BTreeMap::new(),
            watched: BTreeMap::new(),
            begun: BTreeMap::new(),
            crashed: BTreeSet::new(),
            acknowledged: 0,
            faults: true,
            fault_percent,
            alone: count == 1,
            trace: DefaultHasher::new(),
            tell: false,
            report: Report::default(),
            seed,
        };
        world.make_receivers();
        for of in 0..count {
            let engine = world.fresh_engine();
            world.engines.push(Running {
                engine,
                life: 0,
                up: false,
                draining: false,
                tick_at: None,
                stalled_until: 0,
            });
            world.at(0, Happening::Start { of });
        }
        world.plan_troubles(count);
        world.plan_persons();
        world
    }

    /// Prints what happens.
    pub fn told(mut self) -> Self {
        self.tell = true;
        self
    }

    fn wall(&self) -> Time {
        Time::from_ms(self.now + self.offset)
    }

    fn at(&mut self, delay: i64, happening: Happening) {
        self.order += 1;
        self.agenda.push(Reverse((self.now + delay.max(0), self.order)));
        self.happenings.insert(self.order, happening);
    }

    fn note(&mut self, text: String) {
        (self.now, &text).hash(&mut self.trace);
        if self.tell {
            println!("{:>10} ms  {text}", self.now - START);
        }
    }

    fn broken(&self, what: String) -> ! {
        panic!("seed {}: at {} ms: {what}", self.seed, self.now - START)
    }

    pub fn run(mut self) -> Report {
        let mut steps = 0;
        while let Some(Reverse((at, order))) = self.agenda.pop() {
            let happening = self.happenings.remove(&order).expect("each stands once");
            self.now = at;
            let may_end = matches!(happening, Happening::Batch { .. } | Happening::Round { .. });
            self.happen(happening);
            steps += 1;
            if steps > 200_000 {
                self.broken("the world does not come to rest".into());
            }
            if may_end && !self.faults && self.all_ended() {
                break;
            }
        }
        self.judge_the_end();
        self.report.trace = self.trace.finish();
        self.report
    }

    fn all_ended(&mut self) -> bool {
        let waiting = self.happenings.values().any(|happening| {
            matches!(
                happening,
                Happening::Batch { .. }
                    | Happening::Arrives { .. }
                    | Happening::Heard { .. }
                    | Happening::Told { input: Input::RecordFailed { .. }, .. }
                    | Happening::Enqueue
                    | Happening::Asked(_)
            )
        });
        // What was cancelled may still have an outcome that waits for the store to be well.
        let recorded = self.engines.iter().all(|running| !running.up || running.engine.store_is_well());
        !waiting && recorded && self.store.counts(self.wall()).unwrap().pending == 0
    }

    fn is_current(&self, of: usize, life: u64) -> bool {
        self.engines[of].up && self.engines[of].life == life
    }

    fn happen(&mut self, happening: Happening) {
        if let Happening::Tick { of, .. }
        | Happening::Poll { of, .. }
        | Happening::Round { of, .. }
        | Happening::Told { of, .. }
        | Happening::Heard { of, .. } = &happening
        {
            let left = self.engines[*of].stalled_until - self.now;
            if left > 0 {
                return self.at(left, happening);
            }
        }
        match happening {
            Happening::Enqueue => self.enqueue(),
            Happening::Tick { of, life } if self.is_current(of, life) => {
                // An earlier one may have been set since: then this one is nobody's.
                if self.engines[of].tick_at.is_some_and(|at| at <= self.now) {
                    self.engines[of].tick_at = None;
                    self.step(of, Input::Tick);
                }
            }
            Happening::Poll { of, life } if self.is_current(of, life) => self.poll(of),
            Happening::Round { of, life } if self.is_current(of, life) => {
                self.at(30_000, Happening::Round { of, life });
                self.poll(of);
            }
            Happening::Batch { of, life, actions } => self.batch(of, life, actions),
            Happening::Told { of, life, input } if self.is_current(of, life) => self.step(of, input),
            Happening::Arrives { of, life, lease, carried } => self.arrives(of, life, lease, carried),
            Happening::Heard { of, life, lease, carried } if self.is_current(of, life) => {
                self.heard(of, &lease, carried)
            }
            Happening::Stall { of, ms } => {
                self.note(format!("engine {of} is stopped for {ms} ms"));
                self.engines[of].stalled_until = self.now + ms;
            }
            Happening::Crash { of } => self.crash(of),
            Happening::Drain { of } if self.engines[of].up => {
                self.note(format!("engine {of} drains"));
                self.engines[of].draining = true;
                self.step(of, Input::Drain);
            }
            Happening::Start { of } => self.start(of),
            Happening::Step { by } => self.clock_steps(by),
            Happening::Remove { endpoint } => self.remove(endpoint),
            Happening::Asked(person) => self.asked(person),
            Happening::Peace => self.faults = false,
            Happening::Tick { .. }
            | Happening::Poll { .. }
            | Happening::Round { .. }
            | Happening::Told { .. }
            | Happening::Heard { .. }
            | Happening::Drain { .. } => {}
        }
    }

    /// `None`: a fault, and nothing happened.
    fn apply(&mut self, commands: &[Command]) -> Option<Vec<Reply>> {
        if self.faults && self.dice.percent(self.fault_percent) {
            self.report.store_faults += 1;
            self.note(format!("the store fails {} commands", commands.len()));
            return None;
        }
        let wall = self.wall();
        Some(self.store.apply(wall, commands).unwrap_or_else(|error| self.broken(format!("the store said {error}"))))
    }

    fn step(&mut self, of: usize, input: Input) {
        let wall = self.wall();
        let mut actions = Vec::new();
        self.engines[of].engine.step(wall, input, &mut actions);
        let life = self.engines[of].life;
        let mut for_store = Vec::new();
        for action in actions {
            match action {
                Action::Carry(lease) => self.carry(of, life, lease),
                Action::Lease(_) | Action::Record(_) | Action::Release { .. } | Action::Bury { .. } => {
                    for_store.push(action)
                }
            }
        }
        if !for_store.is_empty() {
            exchange::order(&mut for_store);
            let delay = self.dice.within(0, 20);
            self.at(delay, Happening::Batch { of, life, actions: for_store });
        }
        if self.engines[of].engine.is_drained() {
            self.engines[of].up = false;
            let delay = self.dice.within(0, 30_000);
            self.at(delay, Happening::Start { of });
            return;
        }
        if let Some(wakes_at) = self.engines[of].engine.wakes_at() {
            let delay = wakes_at.since(wall).ms().clamp(0, 1000);
            let due = self.now + delay;
            if self.engines[of].tick_at.is_none_or(|at| due < at) {
                self.engines[of].tick_at = Some(due);
                self.at(delay, Happening::Tick { of, life });
            }
        }
    }

    /// A batch reaches the store even if its engine died meanwhile; the answer then goes nowhere.
    fn batch(&mut self, of: usize, life: u64, actions: Vec<Action>) {
        if !self.is_current(of, life) && self.dice.percent(50) {
            return;
        }
        if self.alone && !self.is_current(of, life) {
            return;
        }
        let commands: Vec<Command> = actions.iter().filter_map(exchange::command).collect();
        let replies = self.apply(&commands);
        self.answered(of, life, actions, replies);
    }

    /// The store has performed these actions, or failed.
    fn answered(&mut self, of: usize, life: u64, actions: Vec<Action>, replies: Option<Vec<Reply>>) {
        for (index, action) in actions.into_iter().enumerate() {
            let reply = replies.as_ref().map(|replies| replies[index].clone());
            self.watch(&action, reply.as_ref());
            if let Some(input) = exchange::input(action, reply) {
                let delay = self.dice.within(0, 5);
                self.at(delay, Happening::Told { of, life, input });
            }
        }
    }

    /// The attempt begins: here the promises about beginning are checked.
    fn carry(&mut self, of: usize, life: u64, lease: Lease) {
        let said = format!("{} attempt {} begins by engine {of}", lease.delivery, lease.attempt);
        self.note(said);
        let receiver = &self.receivers[&lease.endpoint];
        let (timeout, most, concurrency) = (receiver.timeout, receiver.most_attempts, receiver.concurrency as usize);
        let rate = receiver.rate.map(|rate| rate as usize);
        let manner = receiver.manner;
        if signature::digest(&lease.event.body) != lease.event.digest {
            self.broken(format!("the body of {} changed", lease.event.id));
        }
        let now = self.now;
        let watched = self.watched.get_mut(&lease.delivery).expect("only what was acknowledged is sent");
        watched.tries += 1;
        // What was granted before somebody cancelled it, or had it retried, belongs to the time before.
        let taken = watched.holder == 0 || lease.attempt <= watched.earlier;
        watched.tries_since += u32::from(lease.attempt > watched.earlier);
        let (tries, since, not_before) = (watched.tries, watched.tries_since, watched.not_before);
        let scheduled = lease.attempt - lease.earlier;
        let rivals: Vec<Flying> = watched.flying.values().copied().collect();
        let ends = if taken { now } else { now + timeout.ms() + SLACK.ms() };
        watched.flying.insert(lease.token.0, Flying { engine: of, life, lane: lease.endpoint, ends });
        if since > most || scheduled > most {
            self.broken(format!(
                "{} is tried {since} times (attempt {}, {scheduled} by its schedule), allowed are {most}",
                lease.delivery, lease.attempt
            ));
        }
        if now < not_before && !taken {
            self.broken(format!("{} is tried {} ms early", lease.delivery, not_before - now));
        }
        for rival in rivals.into_iter().filter(|_| !taken) {
            // A lease asked for before a clock step ends by the clock of then.
            if self.is_current(rival.engine, rival.life) && now < rival.ends && self.offset == 0 {
                self.broken(format!("{} is in flight twice", lease.delivery));
            }
        }
        let flying = self.watched.values().flat_map(|watched| watched.flying.values());
        let ours = |flight: &&Flying| flight.engine == of && flight.life == life && flight.lane == lease.endpoint;
        let in_lane = flying.filter(ours).count();
        if in_lane > concurrency {
            self.broken(format!("{in_lane} in flight to {:?}, allowed are {concurrency}", lease.endpoint));
        }
        let begun = self.begun.entry((of, life, lease.endpoint)).or_default();
        begun.push(now);
        let lately = begun.iter().filter(|at| now - **at < 1000).count();
        // The store's answer takes a while, which may bring a few of one second into the next.
        if let Some(rate) = rate.filter(|rate| lately > rate + rate / 10 + 2) {
            self.broken(format!("{lately} attempts begun in a second, allowed are {rate}"));
        }
        // Stopped in the middle of an attempt, for longer than its lease or not.
        if self.faults && self.dice.percent(1) {
            let ms = self.dice.within(100, 60_000);
            self.at(0, Happening::Stall { of, ms });
        }
        let (delay, reply) = self.answer(manner, tries, timeout);
        let wall = self.wall();
        let carried = Carried {
            started_at: wall,
            finished_at: wall,
            timings: Timings { total_us: delay as u64 * 1000, ..Timings::default() },
            remote: None,
            resent: false,
            reply,
        };
        self.at(delay, Happening::Arrives { of, life, lease, carried });
    }

    /// The receiver has answered, whether or not anybody is left to hear it.
    fn arrives(&mut self, of: usize, life: u64, lease: Lease, carried: Carried) {
        let accepted = matches!(&carried.reply, Answer::Head { status: 200, .. });
        let watched = self.watched.get_mut(&lease.delivery).expect("known");
        watched.flying.remove(&lease.token.0);
        watched.accepted += u32::from(accepted);
        self.happen(Happening::Heard { of, life, lease, carried });
    }

    fn heard(&mut self, of: usize, lease: &Lease, mut carried: Carried) {
        // As the daemon does: the end is now by its clock, whatever the clock did meanwhile.
        carried.finished_at = self.wall();
        carried.started_at = carried.finished_at - Span::from_ms(carried.timings.total_us as i64 / 1000);
        let by = (of, self.engines[of].life);
        let heard = Heard { by, at: self.now };
        self.watched.get_mut(&lease.delivery).expect("known").heard.insert(lease.attempt, heard);
        self.step(of, Input::Carried { delivery: lease.delivery, token: lease.token, carried });
    }
}
