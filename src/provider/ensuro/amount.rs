//! Amounts and shares as Ensuro writes them: decimals in strings, of a fixed number of places.
//! They are whole numbers inside, so that what should add up adds up to the last digit.

use std::fmt;
use std::ops::{Add, Sub};

use super::is_decimal;

/// An amount of money, to six places. Source: Ensuro, "Pricing API", `decimals`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

const MICROS: u64 = 1_000_000;

impl Amount {
    pub const ZERO: Amount = Amount(0);
    /// Far more than any policy pays, and little enough that sums of amounts never overflow.
    pub const MOST: Amount = Amount(1_000_000_000_000 * MICROS);

    pub const fn from_micros(micros: u64) -> Self {
        Amount(micros)
    }

    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Reads `1000.2`. Fails with a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        fixed_point(text, 6).filter(|micros| *micros <= Self::MOST.0).map(Amount).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!("an amount is a decimal such as \"190.25\", of at most six places and a trillion; {shown:?} is not")
        })
    }
}

/// `1000.200000`
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / MICROS, self.0 % MICROS)
    }
}

impl Add for Amount {
    type Output = Amount;
    fn add(self, other: Amount) -> Amount {
        Amount(self.0 + other.0)
    }
}

/// Never below zero.
impl Sub for Amount {
    type Output = Amount;
    fn sub(self, other: Amount) -> Amount {
        Amount(self.0.saturating_sub(other.0))
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Amount>>(amounts: I) -> Amount {
        amounts.fold(Amount::ZERO, Add::add)
    }
}

/// A probability, ratio or rate, to eighteen places; at most 18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u64);

const ATTOS: u64 = 1_000_000_000_000_000_000;

impl Share {
    pub const fn from_attos(attos: u64) -> Self {
        Share(attos)
    }

    /// Reads `0.098`. Fails with a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        fixed_point(text, 18).filter(|attos| *attos <= 18 * ATTOS).map(Share).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!("a share is a decimal such as \"0.098\", of at most eighteen places; {shown:?} is not")
        })
    }

    /// So much of it, rounded down.
    pub fn of(self, amount: Amount) -> Amount {
        Amount((u128::from(self.0) * u128::from(amount.0) / u128::from(ATTOS)) as u64)
    }
}

/// `0.098000000000000000`
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:018}", self.0 / ATTOS, self.0 % ATTOS)
    }
}

/// `part` / `whole` of an amount, rounded down; all of it if there is no whole.
pub fn in_proportion(amount: Amount, part: u64, whole: u64) -> Amount {
    match whole {
        0 => amount,
        _ => Amount((u128::from(amount.0) * u128::from(part.min(whole)) / u128::from(whole)) as u64),
    }
}

/// A decimal times ten to the power of `places`; `None` if it has more places, or is too large.
fn fixed_point(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fits = is_decimal(text) && fraction.len() <= places;
    fits.then(|| format!("{whole}{fraction:0<places$}").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_shares_are_read_and_written_without_loss() {
        let amount = |text| Amount::parse(text).map(|amount| amount.to_string());
        assert_eq!(amount("1000.2").as_deref(), Ok("1000.200000"));
        assert_eq!(amount("0").as_deref(), Ok("0.000000"));
        assert_eq!(amount("000.000001").as_deref(), Ok("0.000001"));
        assert_eq!(amount("1000000000000").as_deref(), Ok("1000000000000.000000"));
        for bad in ["", ".5", "5.", "-1", "1e3", "1,5", "0.0000001", "1000000000000.000001", "9".repeat(40).as_str()] {
            assert!(amount(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Share::parse("0.098").unwrap().to_string(), "0.098000000000000000");
        assert_eq!(Share::parse("1.2").unwrap().of(Amount::parse("0.000002").unwrap()), Amount::from_micros(2));
        assert!(Share::parse("19").is_err() && Share::parse("0.0000000000000000001").is_err());
    }

    #[test]
    fn proportions_neither_overflow_nor_exceed_the_whole() {
        assert_eq!(in_proportion(Amount::MOST, u64::MAX, u64::MAX), Amount::MOST);
        assert_eq!(in_proportion(Amount::from_micros(10), 1, 3), Amount::from_micros(3));
        assert_eq!(in_proportion(Amount::from_micros(10), 9, 3), Amount::from_micros(10));
        assert_eq!(in_proportion(Amount::from_micros(10), 0, 0), Amount::from_micros(10));
    }
}
