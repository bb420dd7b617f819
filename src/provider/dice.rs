//! Draws for made-up notifications: the same seed gives the same draws, on every machine and in every version.
//! Nothing that is drawn here is a secret: whoever knows the seed knows all of it.

/// A seeded generator: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), whose
/// stream is fixed by its definition.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// All 64 bits of a draw.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `n` - 1. Panics if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is nothing below 0");
        ((u128::from(self.word()) * u128::from(n)) >> 64) as u64
    }

    /// From `low` to `high`, both included. Panics if `high` is below `low`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "{low} to {high} is no range");
        match high.abs_diff(low).checked_add(1) {
            Some(width) => low.wrapping_add_unsigned(self.below(width)),
            None => self.word().cast_signed(),
        }
    }

    /// One of them. Panics if there is none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.word().to_le_bytes()[..part.len()]);
        }
        bytes
    }

    /// Lower-case hex of so many bytes.
    pub fn hex(&mut self, bytes: usize) -> String {
        (0..bytes).map(|_| format!("{:02x}", self.below(256))).collect()
    }

    /// A UUID in the form of version 4.
    pub fn uuid(&mut self) -> String {
        let mut bytes: [u8; 16] = self.bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = crate::signature::hex(&bytes);
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// Letters of lower case and digits.
    pub fn alphanumeric(&mut self, n: usize) -> String {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..n).map(|_| char::from(*self.pick(LETTERS))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_that_of_splitmix64_for_good() {
        // The published first values for the seed 1234567.
        let mut dice = Dice::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| dice.word()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn draws_stay_within_their_bounds_and_reach_them() {
        let mut dice = Dice::new(7);
        let drawn: Vec<i64> = (0..1000).map(|_| dice.between(-2, 2)).collect();
        assert!((-2..=2).all(|wanted| drawn.contains(&wanted)) && drawn.iter().all(|n| (-2..=2).contains(n)));
        assert_eq!((dice.below(1), dice.between(5, 5)), (0, 5));
        dice.between(i64::MIN, i64::MAX);
    }

    #[test]
    fn texts_have_their_forms() {
        let mut dice = Dice::new(1);
        for _ in 0..100 {
            let uuid = dice.uuid();
            assert!(uuid.len() == 36 && &uuid[14..15] == "4" && "89ab".contains(&uuid[19..20]), "{uuid}");
        }
        assert_eq!(dice.hex(20).len(), 40);
        assert!(dice.alphanumeric(32).bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    }
}
