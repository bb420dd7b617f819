//! Where an event stands in its caller's trace: W3C Trace Context, validated once and then carried unchanged.
//! Version 00 only, the one that is published; what another version would mean is not guessed.

use std::fmt;

/// The longest `tracestate` that is kept, in bytes.
pub const LONGEST_STATE: usize = 512;

/// `traceparent` and, if there is one, `tracestate` (W3C Trace Context, sections 3.2 and 3.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    parent: String,
    state: Option<String>,
}

impl TraceContext {
    /// `00-` trace id `-` parent id `-` flags, in lower-case hex; neither id may be all zero. An empty `tracestate` is
    /// none. Fails with a sentence that says what fits.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Result<Self, String> {
        if !fits_a_parent(traceparent) {
            return Err(format!(
                "a traceparent is 00-TRACE-PARENT-FLAGS with 32, 16 and 2 lower-case hex digits and no id all zero; {:?} \
                 does not fit",
                traceparent.chars().take(64).collect::<String>()
            ));
        }
        let state = tracestate.filter(|state| !state.is_empty());
        if state.is_some_and(|state| state.len() > LONGEST_STATE || !state.bytes().all(|b| (b' '..=b'~').contains(&b)))
        {
            return Err(format!("a tracestate has at most {LONGEST_STATE} printable ASCII characters"));
        }
        Ok(TraceContext { parent: traceparent.to_owned(), state: state.map(str::to_owned) })
    }

    /// Reads what `Display` writes.
    pub fn from_text(text: &str) -> Result<Self, String> {
        match text.split_once(' ') {
            Some((parent, state)) => Self::parse(parent, Some(state)),
            None => Self::parse(text, None),
        }
    }

    pub fn traceparent(&self) -> &str {
        &self.parent
    }

    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// 32 hex digits.
    pub fn trace_id(&self) -> &str {
        &self.parent[3..35]
    }

    /// The caller's span: 16 hex digits.
    pub fn parent_id(&self) -> &str {
        &self.parent[36..52]
    }

    /// 2 hex digits.
    pub fn flags(&self) -> &str {
        &self.parent[53..55]
    }

    /// The caller records this trace.
    pub fn is_sampled(&self) -> bool {
        u8::from_str_radix(self.flags(), 16).is_ok_and(|flags| flags & 1 == 1)
    }
}

/// As one text: the traceparent, and after a space the tracestate.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parent)?;
        match &self.state {
            Some(state) => write!(f, " {state}"),
            None => Ok(()),
        }
    }
}

fn fits_a_parent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let id = |part: &str, digits: usize| hex(part, digits) && part.bytes().any(|b| b != b'0');
    matches!(parts[..], ["00", trace, parent, flags] if id(trace, 32) && id(parent, 16) && hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_published_example_is_read_and_written_again() {
        let context = TraceContext::parse(PARENT, Some("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE")).unwrap();
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((context.parent_id(), context.flags()), ("00f067aa0ba902b7", "01"));
        assert!(context.is_sampled());
        assert_eq!(TraceContext::from_text(&context.to_string()), Ok(context));
        let bare = TraceContext::parse(PARENT, Some("")).unwrap();
        assert_eq!((bare.tracestate(), bare.to_string().as_str()), (None, PARENT));
        assert_eq!(TraceContext::from_text(PARENT), Ok(bare));
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ] {
            assert!(TraceContext::parse(bad, None).is_err(), "{bad:?}");
        }
        for state in ["é", "a=1\n", "a\t", &"x".repeat(513)] {
            assert!(TraceContext::parse(PARENT, Some(state)).is_err(), "{state:?}");
        }
        assert!(TraceContext::parse(PARENT, Some(&"x".repeat(512))).is_ok());
    }
}
