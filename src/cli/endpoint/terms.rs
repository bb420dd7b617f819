//! What an endpoint wants otherwise than its profile, as flags.

use crate::cli::{Exit, Failure, span};
use crate::endpoint::{Overrides, Success};
use crate::operations::OverridesEdit;
use crate::time::Span;

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Instead of what the profile says")]
pub struct Terms {
    /// The time for a whole attempt, from 100ms to 30s
    #[arg(long, value_name = "TIME", value_parser = span)]
    timeout: Option<Span>,
    /// The wait before each retry (30s,1min,2min), or none for a single attempt
    #[arg(long, value_name = "TIMES", value_parser = schedule)]
    // The full path, as clap takes a bare `Vec` for an option that is repeated.
    schedule: Option<std::vec::Vec<Span>>,
    /// The status codes that mean success: 2xx, or some of 200 to 299 (200,202)
    #[arg(long, value_name = "CODES", value_parser = Success::parse)]
    success: Option<Success>,
    /// A further header, as 'Name: value'; may be repeated
    // Not parsed by clap, whose errors repeat what was given, and a value may be a token.
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// The name of the header that carries Ensuro's signature
    #[arg(long, value_name = "NAME")]
    signature_header: Option<String>,
    /// Attempts in flight at once, from 1 to 256
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<u32>,
    /// Attempts begun per second, from 1 to 100000
    #[arg(long, value_name = "NUMBER")]
    rate: Option<u32>,
}

impl Terms {
    /// For a new endpoint.
    pub fn overrides(self) -> Result<Overrides, Failure> {
        Ok(Overrides {
            timeout: self.timeout,
            schedule: self.schedule,
            success: self.success,
            signature_header: self.signature_header,
            headers: headers(&self.header)?,
            concurrency: self.concurrency,
            rate: self.rate,
        })
    }

    /// For one that is there: what is not given stays. Headers that are given replace all that there were.
    pub fn edit(self) -> Result<OverridesEdit, Failure> {
        let headers = headers(&self.header)?;
        Ok(OverridesEdit {
            timeout: self.timeout.map(Some),
            schedule: self.schedule.map(Some),
            success: self.success.map(Some),
            signature_header: self.signature_header.map(Some),
            headers: Some(headers).filter(|headers| !headers.is_empty()),
            concurrency: self.concurrency.map(Some),
            rate: self.rate.map(Some),
        })
    }
}

fn schedule(text: &str) -> Result<Vec<Span>, String> {
    match text {
        "none" => Ok(vec![]),
        _ => text.split(',').map(span).collect::<Result<_, _>>().map_err(|_| {
            "a schedule is none, or the waits before each retry with commas between (30s,1min,2min)".to_owned()
        }),
    }
}

/// Of flags that are written `Name: value`.
pub(in crate::cli) fn headers(texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    texts.iter().map(|text| header(text)).collect()
}

/// `Name: value`. Never repeats the value.
fn header(text: &str) -> Result<(String, String), Failure> {
    match text.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err(Failure::new(Exit::Data, "a header is written 'Name: value'; one of them has no colon")),
    }
}
