//! Inputs made of samples: bytes changed, put in, taken out and doubled, pieces of one sample in another, and words that readers
//! stumble over.

use postrider::provider::dice::Dice;

const WORDS: [&[u8]; 44] = [
    b"\0",
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e309",
    b"99999999999999999999",
    b"18446744073709551616",
    b"9223372036854775807",
    b"NaN",
    b"%00",
    b"%2e",
    b"..",
    b"/",
    b"@",
    b"#",
    b"?",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xe2\x80\xae",
    b"\xef\xbb\xbf",
    b"127.0.0.1",
    b"0x7f.1",
    b"[::1]",
    b"localhost",
    b"v1,",
    b"whsec_",
    b"chunked",
];
const LONGEST: usize = 64 * 1024;

pub struct Mutator {
    samples: Vec<Vec<u8>>,
    dice: Dice,
}

impl Mutator {
    pub fn new(samples: Vec<Vec<u8>>, dice: Dice) -> Self {
        assert!(!samples.is_empty());
        Mutator { samples, dice }
    }

    pub fn next(&mut self) -> Vec<u8> {
        let mut input = self.dice.pick(&self.samples).clone();
        let changes = 1 + self.dice.below(6);
        for _ in 0..changes {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn place(&mut self, input: &[u8]) -> usize {
        self.dice.below(input.len() as u64 + 1) as usize
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let (one, other) = (self.place(input), self.place(input));
        let (from, to) = (one.min(other), one.max(other));
        match self.dice.below(9) {
            0 if from < input.len() => input[from] ^= 1 << self.dice.below(8),
            1 if from < input.len() => input[from] = self.dice.below(256) as u8,
            2 => input.insert(from, self.dice.below(256) as u8),
            3 => drop(input.drain(from..to)),
            4 => {
                let piece = input[from..to].to_vec();
                let again = 1 + self.dice.below(20) as usize;
                input.splice(to..to, piece.repeat(again).into_iter().take(LONGEST));
            }
            5 | 6 => {
                let word = *self.dice.pick(&WORDS);
                input.splice(from..from, word.iter().copied());
            }
            7 => {
                let other = self.dice.pick(&self.samples).clone();
                let (a, b) = (self.place(&other), self.place(&other));
                input.splice(from..to, other[a.min(b)..a.max(b)].iter().copied());
            }
            _ => input.truncate(to),
        }
    }
}
