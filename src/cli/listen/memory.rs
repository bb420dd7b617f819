//! What came before: which requests belong to one event, and how many of them there were.
//! An event is known by its webhook-id, or else by its body, on its path. The oldest are forgotten.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Instant;

use super::subject::Subject;
use crate::cli::wire::Request;
use crate::signature;
use crate::time::Span;

/// Events that are remembered.
const MOST: usize = 10_000;

#[derive(Default)]
pub struct Memory {
    events: HashMap<Key, Known>,
    order: VecDeque<Key>,
}

/// By which an event is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

struct Known {
    last: Earlier,
    at: Instant,
    digest: [u8; 32],
    turns: usize,
    saved: Option<PathBuf>,
}

/// The request before, of the same event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    pub number: u64,
    /// Since then.
    pub ago: Span,
    /// Which one of its event this is, from 2.
    pub attempt: u64,
    pub same_body: bool,
    pub answer: String,
}

impl Key {
    pub fn of(request: &Request, subject: &Subject, digest: &[u8; 32]) -> Self {
        let path = request.path.as_bytes();
        let own = match &subject.id {
            Some(id) => [b"id ", id.as_bytes()].concat(),
            None => [b"body ", &digest[..]].concat(),
        };
        Key(signature::digest(&[path, b"\0", &own].concat()))
    }
}

impl Memory {
    /// Keeps that this request came now, and says which one of its event came before.
    pub fn meet(&mut self, key: Key, number: u64, digest: [u8; 32], now: Instant) -> Option<Earlier> {
        let next = Earlier { number, ago: Span::ZERO, attempt: 1, same_body: true, answer: String::new() };
        let Some(known) = self.events.get_mut(&key) else {
            if self.order.len() >= MOST
                && let Some(oldest) = self.order.pop_front()
            {
                self.events.remove(&oldest);
            }
            self.order.push_back(key);
            self.events.insert(key, Known { last: next, at: now, digest, turns: 0, saved: None });
            return None;
        };
        let since = i64::try_from(now.saturating_duration_since(known.at).as_millis()).unwrap_or(i64::MAX);
        let attempt = known.last.attempt + 1;
        let last = std::mem::replace(&mut known.last, Earlier { attempt, ..next });
        let same_body = std::mem::replace(&mut known.digest, digest) == digest;
        known.at = now;
        Some(Earlier { ago: Span::from_ms(since), attempt, same_body, ..last })
    }

    /// How many attempts of an event were answered by the script before this one.
    pub fn turn(&mut self, key: Key) -> usize {
        self.events.get_mut(&key).map_or(0, |known| {
            known.turns += 1;
            known.turns - 1
        })
    }

    pub fn answered(&mut self, key: Key, answer: &str) {
        if let Some(known) = self.events.get_mut(&key) {
            answer.clone_into(&mut known.last.answer);
        }
    }

    /// Where the certificate of an event was saved.
    pub fn saved(&mut self, key: Key) -> Option<&mut Option<PathBuf>> {
        self.events.get_mut(&key).map(|known| &mut known.saved)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn attempts_of_one_event_are_counted() {
        let mut memory = Memory::default();
        let (key, other, now) = (Key([1; 32]), Key([2; 32]), Instant::now());
        assert_eq!(memory.meet(key, 1, [7; 32], now), None);
        memory.answered(key, "500");
        assert_eq!(memory.meet(other, 2, [7; 32], now), None);
        let again = memory.meet(key, 3, [7; 32], now + Duration::from_secs(30)).unwrap();
        let answer = "500".to_owned();
        let expected = Earlier { number: 1, ago: Span::from_seconds(30), attempt: 2, same_body: true, answer };
        assert_eq!(again, expected);
        let changed = memory.meet(key, 4, [8; 32], now + Duration::from_secs(90)).unwrap();
        assert_eq!((changed.number, changed.attempt, changed.same_body), (3, 3, false));
        assert_eq!([memory.turn(key), memory.turn(key), memory.turn(other)], [0, 1, 0]);
    }

    #[test]
    fn the_oldest_event_is_forgotten() {
        let mut memory = Memory::default();
        let key = |number: usize| Key(signature::digest(&number.to_be_bytes()));
        for number in 0..=MOST {
            memory.meet(key(number), number as u64, [0; 32], Instant::now());
        }
        assert_eq!((memory.events.len(), memory.order.len()), (MOST, MOST));
        assert!(memory.meet(key(1), 0, [0; 32], Instant::now()).is_some());
        assert!(memory.meet(key(0), 0, [0; 32], Instant::now()).is_none());
    }
}
