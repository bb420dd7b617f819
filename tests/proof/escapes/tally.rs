//! What was shown, and what of it was raw. The whole row is walked before it fails, so that one run tells all places.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::strings::{MARK, Shown, raw};

#[derive(Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// Strings times places.
    tried: u64,
    /// Texts that were looked at.
    looked: u64,
    /// Of these, how many showed a string, or part of it.
    marked: u64,
    places: BTreeSet<String>,
    found: Vec<String>,
}

pub struct Sum {
    pub tried: u64,
    pub looked: u64,
    pub marked: u64,
    pub places: usize,
    pub found: Vec<String>,
}

impl Tally {
    /// A string was put into a place.
    pub fn tried(&self, place: &str) {
        let mut counts = self.0.lock().unwrap();
        counts.tried += 1;
        counts.places.insert(place.to_owned());
    }

    /// Looks at what was shown then.
    pub fn look(&self, place: &str, bytes: &[u8], shown: Shown) {
        let found = raw(bytes, shown);
        let is_marked = bytes.windows(MARK.len()).any(|window| window.eq_ignore_ascii_case(MARK.as_bytes()));
        let mut counts = self.0.lock().unwrap();
        counts.looked += 1;
        counts.marked += u64::from(is_marked);
        counts.found.extend(found.map(|what| format!("{place}: {what}")));
    }

    /// Something else that is not as it must be.
    pub fn wrong(&self, place: &str, what: impl std::fmt::Display) {
        self.0.lock().unwrap().found.push(format!("{place}: {what}"));
    }

    pub fn sum(self) -> Sum {
        let Counts { tried, looked, marked, places, found } = self.0.into_inner().unwrap();
        Sum { tried, looked, marked, places: places.len(), found }
    }
}
