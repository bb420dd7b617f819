//! Random walks: whatever is asked of it in whatever order, a store answers like the reference and then looks like it.

use std::collections::BTreeSet;

use postrider::access::Scope;
use postrider::delivery::{DeadReason, DeliveryId, Lease, Outcome, StateName, Token, Verdict};
use postrider::endpoint::{EndpointId, Key, Overrides};
use postrider::store::memory::MemoryStore;
use postrider::store::{
    Command, EndpointEdit, Filter, LeaseRequest, NewEvent, Record, Recorded, Refusal, Reply, Store,
};
use postrider::time::{Span, Time};

use super::Pair;
use super::fixture::*;

const BATCHES: u32 = 80;
const EVENTS: u64 = 24;
const KEYS: u64 = 12;
const NAMES: [&str; 3] = ["acme", "bolt", "cone"];

/// The seeds share one store, so that each walk but the first begins on what others left behind.
pub fn it_behaves_like_the_reference(pair: &mut Pair) {
    let mut reference = MemoryStore::new();
    for seed in 0..14 {
        same_behaviour(&mut reference, &mut *pair.first, seed);
    }
}

/// Two handles take turns, as two engines do.
pub fn two_handles_behave_like_the_reference(pair: &mut Pair) {
    let mut first = MemoryStore::new();
    let mut second = first.another();
    for seed in 100..104 {
        same_behaviour(&mut first, &mut *pair.first, seed);
        same_behaviour(&mut second, &mut *pair.second, seed + 50);
    }
}

/// A walk that never meets a rule proves nothing about it.
#[test]
fn the_walks_meet_every_kind_of_reply() {
    let (mut first, mut second) = (MemoryStore::new(), MemoryStore::new());
    let met: BTreeSet<&str> = (0..14).flat_map(|seed| same_behaviour(&mut first, &mut second, seed)).collect();
    let expected = [
        "added",
        "again",
        "buried",
        "cancelled",
        "counted",
        "done nothing",
        "edited",
        "enqueued",
        "fired before",
        "gone",
        "id taken",
        "key taken",
        "late",
        "leased",
        "extended",
        "lost",
        "name taken",
        "no such delivery",
        "no such endpoint",
        "no such token",
        "paused",
        "pruned",
        "recovered",
        "released",
        "removed",
        "resumed",
        "retried",
        "shifted",
        "token added",
        "token removed",
        "used up",
    ];
    assert_eq!(met, BTreeSet::from(expected));
}

/// Gives both stores the same random batches, and compares every answer and, after each batch, all that can be seen.
/// Returns what kinds of reply there were. The same seed on the same stores walks the same way.
pub fn same_behaviour(a: &mut dyn Store, b: &mut dyn Store, seed: u64) -> BTreeSet<&'static str> {
    let mut walk = Walk {
        seed,
        draw: Draw(seed),
        now: at(0),
        token: 1_000 * seed as i64,
        endpoints: a.endpoints().unwrap().into_iter().map(|endpoint| endpoint.id).collect(),
        deliveries: Vec::new(),
        leases: Vec::new(),
    };
    let mut met = BTreeSet::new();
    for step in 0..BATCHES {
        walk.now = walk.now + Span::from_seconds(walk.draw.below(40) as i64 - 5);
        let commands = if walk.draw.once_in(3) { walk.commands_of_a_daemon() } else { walk.commands() };
        let (ours, theirs) = (a.apply(walk.now, &commands).unwrap(), b.apply(walk.now, &commands).unwrap());
        let place = format!("seed {seed}, step {step}, at {:?}: {commands:#?}", walk.now);
        assert_eq!(ours, theirs, "{place}");
        for (command, reply) in commands.iter().zip(&ours) {
            met.extend(kind(command, reply));
            walk.learn(reply);
        }
        assert_eq!(visible(a, seed, walk.now), visible(b, seed, walk.now), "{place}");
    }
    met
}

/// What a store can be asked, as text. Secrets do not show in it; the rules of endpoints compare those.
fn visible(store: &mut dyn Store, seed: u64, now: Time) -> String {
    let deliveries = store.deliveries(&Filter::default(), EVERYTHING).unwrap();
    let attempts: Vec<_> = deliveries.iter().map(|listed| attempts(store, listed.delivery.id)).collect();
    let known: Vec<_> = (0..EVENTS).map(|n| store.event(&id(&format!("e{seed}-{n}"))).unwrap()).collect();
    let endpoints: Vec<_> = (0..40).map(|n| store.endpoint(EndpointId(n)).unwrap()).collect();
    let named: Vec<_> = NAMES.iter().map(|text| store.endpoint_named(&name(text)).unwrap()).collect();
    let there = store.endpoints().unwrap();
    let (lanes, counts) = (lanes(store), store.counts(now).unwrap());
    let keyed: Vec<_> = (0..KEYS).map(|n| store.by_key(&[n as u8; 32]).unwrap()).collect();
    // A batch does not log more than so much, so all of the log is seen in the end.
    let last = store.outcomes(0, 0).unwrap().last;
    let (tokens, outcomes) = (store.tokens().unwrap(), store.outcomes(last - 30, 1_000).unwrap());
    format!(
        "{keyed:?}\n{tokens:#?}\n{outcomes:#?}\n\
         {counts:#?}\n{lanes:#?}\n{deliveries:#?}\n{attempts:#?}\n{known:#?}\n{endpoints:#?}\n{named:#?}\n{there:#?}"
    )
}

/// What a reply stands for, where it stands for something that a walk must have met.
fn kind(command: &Command, reply: &Reply) -> Vec<&'static str> {
    match reply {
        Reply::Enqueued(enqueued) if enqueued.again => vec!["again"],
        Reply::Enqueued(_) => vec!["enqueued"],
        Reply::Leased(leased) => {
            let (some, dead) = (!leased.leases.is_empty(), !leased.used_up.is_empty());
            [some.then_some("leased"), dead.then_some("used up")].into_iter().flatten().collect()
        }
        Reply::Recorded(Recorded::Counted) => vec!["counted"],
        Reply::Recorded(Recorded::LateAccepted) => vec!["late"],
        Reply::Recorded(Recorded::Lost) => vec!["lost"],
        Reply::EndpointAdded(_) => vec!["added"],
        Reply::Done(0) => vec!["done nothing"],
        Reply::Done(_) => vec![done_by(command)],
        Reply::Refused(Refusal::IdTaken { .. }) => vec!["id taken"],
        Reply::Refused(Refusal::FiredBefore { .. }) => vec!["fired before"],
        Reply::Refused(Refusal::EndpointGone { .. }) => vec!["gone"],
        Reply::Refused(Refusal::NameTaken) => vec!["name taken"],
        Reply::Refused(Refusal::NoSuchEndpoint) => vec!["no such endpoint"],
        Reply::Refused(Refusal::NoSuchDelivery) => vec!["no such delivery"],
        Reply::Refused(Refusal::NoSuchToken) => vec!["no such token"],
        Reply::Refused(Refusal::KeyTaken { .. }) => vec!["key taken"],
    }
}

fn done_by(command: &Command) -> &'static str {
    match command {
        Command::Release { .. } => "released",
        Command::Recover => "recovered",
        Command::Bury { .. } => "buried",
        Command::Shift { .. } => "shifted",
        Command::ExtendLeases { .. } => "extended",
        Command::Prune { .. } => "pruned",
        Command::RemoveEndpoint(_) => "removed",
        Command::EditEndpoint { .. } => "edited",
        Command::Pause(_) => "paused",
        Command::Resume(_) => "resumed",
        Command::Retry { .. } => "retried",
        Command::Cancel { .. } => "cancelled",
        Command::AddToken { .. } => "token added",
        Command::RemoveToken { .. } => "token removed",
        Command::Enqueue(_) | Command::Lease(_) | Command::Record(_) | Command::AddEndpoint(_) => {
            panic!("{command:?} is not answered by Done")
        }
    }
}

/// SplitMix64: the same numbers for the same seed, everywhere and for ever.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

struct Walk {
    seed: u64,
    draw: Draw,
    now: Time,
    /// The last token that was given out.
    token: i64,
    /// The last endpoints that came, gone or not.
    endpoints: Vec<EndpointId>,
    /// The last deliveries that came, ended or not.
    deliveries: Vec<DeliveryId>,
    /// The last leases that were given out, ended or not.
    leases: Vec<Lease>,
}

impl Walk {
    fn command(&mut self) -> Command {
        match self.draw.below(54) {
            0..12 => Command::Enqueue(self.event()),
            12..20 => Command::Lease(self.lease_request()),
            20..29 => self.record(),
            29..31 => match self.lease() {
                Some(lease) => Command::Release { delivery: lease.delivery, token: lease.token },
                None => Command::Release { delivery: DeliveryId(1), token: Token(0) },
            },
            31 if self.draw.once_in(2) => Command::Recover,
            31 => match Span::from_seconds(self.draw.below(180) as i64 - 60) {
                by if by < Span::from_minutes(1) => Command::Shift { by },
                by => Command::ExtendLeases { by },
            },
            32..34 => Command::Bury { lane: self.endpoint(), limit: self.draw.below(4) as u32 },
            34 => {
                let before = self.now - Span::from_seconds(self.draw.below(200) as i64);
                Command::Prune { before, limit: self.draw.below(6) as u32 }
            }
            35..39 => Command::AddEndpoint(new_endpoint(NAMES[self.draw.below(3) as usize])),
            39 => Command::RemoveEndpoint(self.endpoint()),
            _ => self.by_hand(),
        }
    }

    fn by_hand(&mut self) -> Command {
        match self.draw.below(16) {
            0..2 => Command::EditEndpoint { endpoint: self.endpoint(), edit: self.edit() },
            2..4 => Command::Pause(self.endpoint()),
            4..7 => Command::Resume(self.endpoint()),
            7..11 => {
                let states = StateName::ALL.into_iter().filter(|_| !self.draw.once_in(3)).collect();
                let now_due = self.now + Span::from_seconds(self.draw.below(20) as i64 - 5);
                Command::Retry { delivery: self.delivery(), states, now_due }
            }
            11..14 => Command::Cancel { delivery: self.delivery() },
            14 => {
                let hash = [self.draw.below(4) as u8; 32];
                let scope = Scope::ALL[self.draw.below(3) as usize];
                Command::AddToken { name: NAMES[self.draw.below(3) as usize].to_owned(), hash, scope }
            }
            _ => Command::RemoveToken { name: NAMES[self.draw.below(3) as usize].to_owned() },
        }
    }

    fn edit(&mut self) -> EndpointEdit {
        let until = self.draw.once_in(2).then_some(self.now);
        EndpointEdit {
            url: self.draw.once_in(3).then(|| format!("https://one-off-{}.example/", self.draw.below(3))),
            subscriptions: self.draw.once_in(3).then(Vec::new),
            overrides: self
                .draw
                .once_in(3)
                .then(|| Overrides { rate: Some(self.draw.below(9) as u32), ..Overrides::default() }),
            keys: self.draw.once_in(3).then(|| vec![Key { until, ..key("one") }]),
        }
    }

    fn delivery(&mut self) -> DeliveryId {
        match self.deliveries.len() as u64 {
            known if known > 0 && !self.draw.once_in(20) => self.deliveries[self.draw.below(known) as usize],
            _ => DeliveryId(self.draw.below(40) as i64),
        }
    }

    /// Old endpoints, deliveries and leases stay known for a while: late outcomes are what tokens are for.
    fn learn(&mut self, reply: &Reply) {
        match reply {
            Reply::Enqueued(enqueued) => {
                self.endpoints.extend(enqueued.deliveries.iter().map(|(_, lane)| *lane));
                self.deliveries.extend(enqueued.deliveries.iter().map(|(delivery, _)| *delivery));
            }
            Reply::EndpointAdded(endpoint) => self.endpoints.push(*endpoint),
            Reply::Leased(leased) => self.leases.extend(leased.leases.iter().cloned()),
            Reply::Recorded(_) | Reply::Done(_) | Reply::Refused(_) => {}
        }
        self.endpoints.drain(..self.endpoints.len().saturating_sub(8));
        self.deliveries.drain(..self.deliveries.len().saturating_sub(12));
        self.leases.drain(..self.leases.len().saturating_sub(12));
    }

    fn endpoint(&mut self) -> EndpointId {
        match self.endpoints.len() as u64 {
            known if known > 0 && !self.draw.once_in(20) => self.endpoints[self.draw.below(known) as usize],
            _ => EndpointId(self.draw.below(40) as i64),
        }
    }

    fn commands(&mut self) -> Vec<Command> {
        (0..=self.draw.below(4)).map(|_| self.command()).collect()
    }

    /// Events, outcomes and requests in one batch and in this order: what is stored by it is leased by it.
    fn commands_of_a_daemon(&mut self) -> Vec<Command> {
        let mut commands: Vec<Command> = (0..=self.draw.below(4)).map(|_| Command::Enqueue(self.event())).collect();
        let others: Vec<Command> = (0..self.draw.below(12)).map(|_| self.command()).collect();
        commands.extend(others.into_iter().filter(|other| matches!(other, Command::Record(_) | Command::Prune { .. })));
        commands.extend((0..=self.draw.below(3)).map(|_| Command::Lease(self.lease_request())));
        commands
    }

    /// Few ids and few bodies, so that the same request comes again, and another one under the same id.
    fn event(&mut self) -> NewEvent {
        let text = format!("e{}-{}", self.seed, self.draw.below(EVENTS));
        let body = vec![b'x'; self.draw.below(3) as usize * 50];
        let event = if self.draw.once_in(5) {
            let url = format!("https://one-off-{}.example/", self.draw.below(3));
            one_off(&text, &url, &[key("one")][..self.draw.below(2) as usize])
        } else {
            let endpoints: Vec<EndpointId> = (0..self.draw.below(4)).map(|_| self.endpoint()).collect();
            new_event(&text, &endpoints)
        };
        let once = self.draw.once_in(3).then(|| format!("once {} {}", self.seed, self.draw.below(8)));
        let idempotency_key = self.draw.once_in(3).then(|| [self.draw.below(KEYS) as u8; 32]);
        with_body(NewEvent { once, idempotency_key, ..event }, &body)
    }

    fn lease_request(&mut self) -> LeaseRequest {
        self.token += 1;
        LeaseRequest {
            lane: self.endpoint(),
            limit: self.draw.below(5) as u32,
            bytes: self.draw.below(300),
            until: self.now + Span::from_seconds(1 + self.draw.below(60) as i64),
            token: Token(self.token),
            most_attempts: 1 + self.draw.below(4) as u32,
        }
    }

    fn lease(&mut self) -> Option<Lease> {
        match self.leases.len() as u64 {
            0 => None,
            known => Some(self.leases[self.draw.below(known) as usize].clone()),
        }
    }

    fn record(&mut self) -> Command {
        let (delivery, endpoint, token, number) = match self.lease() {
            Some(lease) => (lease.delivery, lease.endpoint, lease.token, lease.attempt),
            None => (DeliveryId(1), EndpointId(1), Token(0), 1),
        };
        let retry = Verdict::RetryAt(self.now + Span::from_seconds(self.draw.below(40) as i64));
        let (outcome, verdict) = match self.draw.below(12) {
            0..3 => (accepted(), Verdict::Delivered),
            3..9 => (rejected(), retry),
            9 => (rejected(), Verdict::Dead(DeadReason::ScheduleUsedUp)),
            10 => (Outcome::Rejected { status: 410 }, Verdict::Dead(DeadReason::EndpointGone)),
            _ => (Outcome::Unknown, retry),
        };
        let attempt = attempt(number, self.now - Span::from_seconds(2), self.now, outcome);
        Command::Record(Record { delivery, endpoint, token, attempt, verdict })
    }
}
