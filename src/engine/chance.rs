//! The engine's only chance: a sequence that its seed decides, so that the same seed gives the same day again.

use crate::provider::dice::Dice;
use crate::schedule::Draw;

#[derive(Clone, Debug)]
pub(super) struct Chance(Dice);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Chance(Dice::new(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.word()
    }

    pub(super) fn draw(&mut self) -> Draw {
        Draw((self.next() >> 32) as u32)
    }
}
