//! How the journal writes what has a form of its own: times in RFC 3339, amounts and addresses as their texts.
//! What is read back is what was written, or an error that says what stands there.

/// `2026-11-01T00:00:00.000Z`
pub mod time {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::calendar::{parse_rfc3339, rfc3339};
    use crate::time::Time;

    pub fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        parse_rfc3339(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Whole milliseconds.
pub mod span {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::Span;

    pub fn serialize<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(span.ms())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        i64::deserialize(deserializer).map(Span::from_ms)
    }
}

/// `1000.200000`
pub mod amount {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::provider::ensuro::policy::Amount;

    pub fn serialize<S: Serializer>(amount: &Amount, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        Amount::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// `0x` and 40 hex digits.
pub mod address {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::signature::eip191::{Address, read_address};

    pub fn serialize<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Sixty-four digits would be read as a private key.
        match text.len() {
            42 => read_address(text.as_bytes()).map_err(D::Error::custom),
            _ => Err(D::Error::custom("an Ethereum address is 0x and 40 hex digits")),
        }
    }
}
