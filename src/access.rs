//! Who may ask what over HTTP: tokens and their scopes. A token itself is shown once and never kept, only its hash.

use std::fmt;

use crate::time::Time;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Handing in events, and nothing else.
    Enqueue,
    /// Seeing everything but secrets, and changing nothing.
    Read,
    /// Everything.
    Admin,
}

impl Scope {
    pub const ALL: [Scope; 3] = [Scope::Enqueue, Scope::Read, Scope::Admin];

    pub fn parse(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| format!("a scope is enqueue, read or admin; {text:?} is none of them"))
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Enqueue => "enqueue",
            Scope::Read => "read",
            Scope::Admin => "admin",
        }
    }

    /// Whether a token of this scope may do what needs `needed`.
    pub fn covers(self, needed: Scope) -> bool {
        self == Scope::Admin || self == needed
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// What a person calls it: 1 to 64 characters.
    pub name: String,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    pub scope: Scope,
    pub created_at: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_may_do_all_and_the_others_their_own() {
        for needed in Scope::ALL {
            assert!(Scope::Admin.covers(needed) && needed.covers(needed));
            assert_eq!(Scope::parse(needed.as_str()), Ok(needed));
        }
        assert!(!Scope::Enqueue.covers(Scope::Read) && !Scope::Read.covers(Scope::Enqueue));
        assert!(!Scope::Read.covers(Scope::Admin));
    }
}
