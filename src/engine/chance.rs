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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_over_all_there_is() {
        let mut chance = Chance::new(7);
        let mut quarters = [0; 4];
        (0..400).for_each(|_| quarters[(chance.draw().0 >> 30) as usize] += 1);
        assert!(quarters.iter().all(|count| (60..140).contains(count)), "{quarters:?}");
    }
}
