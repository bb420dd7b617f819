//! What a world is made of: receivers and their manners, and the troubles that will come.

use postrider::delivery::{Reply as Answer, Stage};
use postrider::endpoint::{EndpointName, Key, Overrides, ProfileName, Scheme, Secret};
use postrider::engine::{Engine, Limits};
use postrider::provider;
use postrider::store::{Command, NewEndpoint, Reply, Store};
use postrider::time::Span;

use super::{Happening, SLACK, World};

/// The world's only chance.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    pub fn within(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// How a receiver behaves.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    Accepts,
    RejectsThenAccepts(u32),
    Hangs,
    Moody,
    Gone,
    Refuses,
}

pub struct Receiver {
    pub manner: Manner,
    pub concurrency: u32,
    pub rate: Option<u32>,
    pub most_attempts: u32,
    pub delays: Vec<Span>,
    pub timeout: Span,
    pub removed: bool,
    pub paused: bool,
}

impl World {
    pub(super) fn fresh_engine(&mut self) -> Engine {
        let in_flight = [1, 3, 16, 256][self.dice.below(4) as usize];
        let limits = Limits { in_flight, body_bytes: 7000, largest_body: 3000, lease_slack: SLACK };
        Engine::new(limits, self.dice.below(u64::MAX))
    }

    pub(super) fn make_receivers(&mut self) {
        for number in 0..self.dice.within(1, 4) {
            let manner = match self.dice.below(7) {
                0 | 1 => Manner::Accepts,
                2 => Manner::RejectsThenAccepts(self.dice.within(1, 4) as u32),
                3 => Manner::Hangs,
                4 => Manner::Moody,
                5 => Manner::Gone,
                _ => Manner::Refuses,
            };
            let (profile, scheme) = match manner {
                Manner::Gone => (ProfileName::Standard, Scheme::V1),
                _ => (ProfileName::Ensuro, Scheme::Hmac),
            };
            let schedule = self.dice.percent(50).then(|| {
                (0..self.dice.within(0, 5)).map(|_| Span::from_ms(self.dice.within(1, 20_000))).collect::<Vec<_>>()
            });
            let overrides = Overrides {
                schedule,
                timeout: self.dice.percent(50).then(|| Span::from_ms(self.dice.within(200, 10_000))),
                concurrency: Some(self.dice.within(1, 8) as u32),
                rate: self.dice.percent(30).then(|| self.dice.within(1, 20) as u32),
                ..Overrides::default()
            };
            let terms = provider::terms(profile, &overrides);
            let endpoint = NewEndpoint {
                name: EndpointName::parse(&format!("e{number}")).unwrap(),
                url: "https://receiver.example/hook".into(),
                profile,
                subscriptions: vec![],
                overrides: overrides.clone(),
                keys: vec![Key { scheme, secret: Secret::new(vec![1; 32]), until: None }],
            };
            let replies = self.store.apply(self.wall(), &[Command::AddEndpoint(endpoint)]).unwrap();
            let Reply::EndpointAdded(id) = replies[0] else { panic!("{replies:?}") };
            let receiver = Receiver {
                manner,
                concurrency: overrides.concurrency.unwrap(),
                rate: overrides.rate,
                most_attempts: terms.schedule.attempts(),
                delays: terms.schedule.delays().to_vec(),
                timeout: terms.timeout,
                removed: false,
                paused: false,
            };
            self.receivers.insert(id, receiver);
        }
    }

    pub(super) fn plan_troubles(&mut self, count: usize) {
        for _ in 0..self.dice.within(5, 40) {
            let delay = self.dice.within(0, 120_000);
            self.at(delay, Happening::Enqueue);
        }
        for _ in 0..self.dice.below(4) {
            let of = self.dice.below(count as u64) as usize;
            let delay = self.dice.within(0, 300_000);
            let how = if self.dice.percent(70) { Happening::Crash { of } } else { Happening::Drain { of } };
            self.at(delay, how);
        }
        for _ in 0..self.dice.below(3) {
            let of = self.dice.below(count as u64) as usize;
            let (delay, ms) = (self.dice.within(0, 120_000), self.dice.within(100, 60_000));
            self.at(delay, Happening::Stall { of, ms });
        }
        // With several daemons the lease time decides, and a fleet's clocks are somebody else's promise.
        for _ in 0..if self.alone { self.dice.below(3) } else { 0 } {
            let most = [500, 10_000, 3_600_000, 86_400_000][self.dice.below(4) as usize];
            let (delay, by) = (self.dice.within(0, 300_000), self.dice.within(-most, most));
            self.at(delay, Happening::Step { by });
        }
        if self.dice.percent(15) {
            let endpoint = *self.receivers.keys().next().expect("there is one");
            let delay = self.dice.within(1000, 200_000);
            self.at(delay, Happening::Remove { endpoint });
        }
        self.at(300_000, Happening::Peace);
    }

    pub(super) fn answer(&mut self, manner: Manner, tries: u32, timeout: Span) -> (i64, Answer) {
        let head = |status| Answer::Head { status, retry_after: None, location: None, body: b"ok".to_vec() };
        let quick = self.dice.within(0, 150);
        match manner {
            Manner::Accepts => (quick, head(200)),
            Manner::RejectsThenAccepts(times) if tries <= times => (quick, head(500)),
            Manner::RejectsThenAccepts(_) => (quick, head(200)),
            Manner::Hangs => (timeout.ms(), Answer::TimedOut { stage: Stage::Answer }),
            Manner::Gone => (quick, head(if tries > 1 { 410 } else { 503 })),
            Manner::Refuses => {
                (quick, Answer::Unreachable { stage: Stage::Connect, error: "connection refused".into() })
            }
            Manner::Moody => match self.dice.below(4) {
                0 => (timeout.ms(), Answer::TimedOut { stage: Stage::Answer }),
                1 => (quick, head(404)),
                _ => (quick, head(200)),
            },
        }
    }
}
