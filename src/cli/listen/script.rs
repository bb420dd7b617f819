//! What is answered, by script: one step for each attempt of an event, the last one again and again.
//! It only says what is to be done; `answer` does it.

use std::fmt;

use http::StatusCode;
use url::Url;

use crate::cli::span;
use crate::time::Span;

/// The forms of a step, for `--help` and for whoever wrote another one.
pub const FORMS: &str = "  200, 404, 500 ...       this status
  429:120, 503:2s         with Retry-After: 120, or 2
  redirect:URL, 307:URL   with Location (redirect is 302)
  hang                    takes the request and never answers
  close, reset            ends the connection without an answer; resets it
  half                    half a head, then the end
  drip, drip:50ms         200, a byte every 100 ms (or 50), the head too
  drip-body, drip-body:1s the head at once, then the body a byte every 100 ms (or second)
  huge, huge:200mb        200 with a body of 10 MB (or 200), as fast as it is taken
  garbage                 something that is no HTTP
and any of them with a wait before it: 200@12s, hang@1s, reset@500ms";

/// The most that `huge` may send.
const HUGEST: u64 = 1 << 30;
const HUGE: u64 = 10_000_000;
/// The longest wait of a step, and between two bytes.
const LONGEST_WAIT: Span = Span::from_hours(1);
const PACE: Span = Span::from_ms(100);

/// At least one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script(Vec<Step>);

/// What one attempt is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Before anything is answered; `None` if the step does not say.
    pub wait: Option<Span>,
    pub act: Act,
    /// As it was written.
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Status { status: StatusCode, retry_after: Option<u64> },
    Redirect { status: StatusCode, location: String },
    Hang,
    Close,
    Reset,
    Half,
    Drip { pace: Span, head_too: bool },
    Huge { bytes: u64 },
    Garbage,
}

impl Script {
    /// Steps with commas between. Fails with a sentence that lists what a step may be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let steps = text.split(',').map(|step| Step::parse(step.trim()));
        steps.collect::<Result<Vec<_>, _>>().map(Script)
    }

    /// The step for the attempt of this number, from 0.
    pub fn step(&self, attempt: usize) -> &Step {
        &self.0[attempt.min(self.0.len() - 1)]
    }

    /// Whether every attempt is answered alike.
    pub fn is_constant(&self) -> bool {
        self.0.len() == 1
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<&str> = self.0.iter().map(|step| step.text.as_str()).collect();
        f.write_str(&steps.join(", "))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Step {
    fn parse(text: &str) -> Result<Self, String> {
        let timed = text.rsplit_once('@').and_then(|(act, wait)| Some((act, span(wait).ok()?)));
        let (act, wait) = match timed {
            Some((act, wait)) => (act, Some(wait)),
            None => (text, None),
        };
        if wait.is_some_and(|wait| wait > LONGEST_WAIT) {
            return Err(format!("{text:?} waits longer than {LONGEST_WAIT}"));
        }
        let unknown = |why: &str| format!("{text:?} {why}; a step of an answer is one of\n{FORMS}");
        let act = Act::parse(act).map_err(|why| unknown(&why))?;
        Ok(Step { wait, act, text: text.to_owned() })
    }
}

impl Act {
    /// The error is a clause that follows the step.
    fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let plain = |act: Act| match value {
            None => Ok(act),
            Some(_) => Err(format!("has something after {name}, which takes nothing")),
        };
        match name {
            "hang" => plain(Act::Hang),
            "close" => plain(Act::Close),
            "reset" => plain(Act::Reset),
            "half" => plain(Act::Half),
            "garbage" => plain(Act::Garbage),
            "drip" | "drip-body" => Ok(Act::Drip { pace: pace(value)?, head_too: name == "drip" }),
            "huge" => Ok(Act::Huge { bytes: value.map_or(Ok(HUGE), bytes)? }),
            "redirect" => Ok(Act::Redirect { status: StatusCode::FOUND, location: location(value)? }),
            _ => by_status(name, value),
        }
    }
}

fn by_status(name: &str, value: Option<&str>) -> Result<Act, String> {
    let digits = name.len() == 3 && name.bytes().all(|b| b.is_ascii_digit());
    let code = name.parse().ok().filter(|code: &u16| digits && (200..=599).contains(code));
    let Some(status) = code.and_then(|code| StatusCode::from_u16(code).ok()) else {
        return Err(match digits {
            true => "is no status from 200 to 599".to_owned(),
            false => "is not understood".to_owned(),
        });
    };
    if [301, 302, 303, 307, 308].contains(&status.as_u16()) && value.is_some() {
        return Ok(Act::Redirect { status, location: location(value)? });
    }
    Ok(Act::Status { status, retry_after: value.map(seconds).transpose()? })
}

fn location(value: Option<&str>) -> Result<String, String> {
    let value = value.unwrap_or_default();
    match Url::parse(value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url.into()),
        // To a path of the same server.
        _ if value.starts_with('/') && value.bytes().all(|b| b.is_ascii_graphic()) => Ok(value.to_owned()),
        Ok(_) | Err(_) => Err("needs an http:// or https:// URL after the colon".to_owned()),
    }
}

/// `120`, `2s`, `1min`.
fn seconds(text: &str) -> Result<u64, String> {
    let whole = span(text).ok().filter(|span| span.ms() % 1000 == 0).map(|span| span.ms() / 1000);
    let seconds = text.parse().ok().or_else(|| whole.and_then(|seconds| u64::try_from(seconds).ok()));
    seconds.ok_or_else(|| "has no whole number of seconds for Retry-After after the colon".to_owned())
}

fn pace(value: Option<&str>) -> Result<Span, String> {
    let pace = value.map_or(Some(PACE), |text| span(text).ok());
    pace.filter(|pace| *pace <= LONGEST_WAIT)
        .ok_or_else(|| "needs a length of time after the colon, as drip:50ms".to_owned())
}

/// `500`, `10kb`, `200mb`, `1gb`: decimal units.
fn bytes(text: &str) -> Result<u64, String> {
    size(text)
        .filter(|bytes| *bytes <= HUGEST)
        .ok_or_else(|| "needs a size up to 1gb after the colon, as huge:10mb".to_owned())
}

/// A number of bytes as a person writes it: `500`, `10kb`, `32MiB`.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor: u64 = match unit.trim() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(text: &str) -> Act {
        Script::parse(text).unwrap().step(0).act.clone()
    }

    fn status(code: u16, retry_after: Option<u64>) -> Act {
        Act::Status { status: StatusCode::from_u16(code).unwrap(), retry_after }
    }

    #[test]
    fn steps_follow_one_another_and_the_last_one_stays() {
        let script = Script::parse("500, 500@2s,200").unwrap();
        let steps = [0, 1, 2, 3, 1000].map(|attempt| script.step(attempt).to_string());
        assert_eq!(steps, ["500", "500@2s", "200", "200", "200"]);
        assert_eq!(script.step(1).wait, Some(Span::from_seconds(2)));
        assert_eq!(script.to_string(), "500, 500@2s, 200");
        assert!(!script.is_constant() && Script::parse("200").unwrap().is_constant());
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(act("204"), status(204, None));
        assert_eq!(act("429:120"), status(429, Some(120)));
        assert_eq!(act("503:2s"), status(503, Some(2)));
        assert_eq!(act("503:0"), status(503, Some(0)));
        let to = |code, location: &str| Act::Redirect {
            status: StatusCode::from_u16(code).unwrap(),
            location: location.to_owned(),
        };
        assert_eq!(act("redirect:http://127.0.0.1:1/x"), to(302, "http://127.0.0.1:1/x"));
        assert_eq!(act("307:https://a.example/b"), to(307, "https://a.example/b"));
        assert_eq!(act("308:/elsewhere@1s"), to(308, "/elsewhere"));
        assert_eq!(act("redirect:http://a@b.example/"), to(302, "http://a@b.example/"));
        assert_eq!(act("302"), status(302, None));
        assert_eq!(act("drip"), Act::Drip { pace: PACE, head_too: true });
        assert_eq!(act("drip-body:50ms"), Act::Drip { pace: Span::from_ms(50), head_too: false });
        assert_eq!(act("huge"), Act::Huge { bytes: HUGE });
        assert_eq!(act("huge:20kb@1s"), Act::Huge { bytes: 20_000 });
        for (text, expected) in [
            ("hang", Act::Hang),
            ("close", Act::Close),
            ("reset", Act::Reset),
            ("half", Act::Half),
            ("garbage", Act::Garbage),
        ] {
            assert_eq!(act(text), expected);
        }
    }

    #[test]
    fn anything_else_is_told_with_all_that_may_stand_there() {
        for bad in [
            "",
            ",",
            "200,",
            "100",
            "600",
            "99",
            "2OO",
            "-200",
            "200:x",
            "429:1.5s",
            "429:-1",
            "hang:1",
            "hangs",
            "redirect",
            "redirect:",
            "redirect:ftp://a.example",
            "307:nowhere",
            "drip:5",
            "huge:2gb",
            "huge:many",
            "200@",
            "200@x",
            "308:/a\rb",
        ] {
            let error = Script::parse(bad).unwrap_err();
            assert!(error.contains(FORMS), "{bad:?}: {error}");
        }
        let error = Script::parse("200@2h").unwrap_err();
        assert_eq!(error, "\"200@2h\" waits longer than 1 h");
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!(["7", "10kb", "32MiB", "1 gb"].map(size), [7, 10_000, 32 << 20, 1_000_000_000].map(Some));
        assert_eq!(["", "kb", "1tb", "-1", "1.5mb", "99999999999999999999", "99999999999gb"].map(size), [None; 7]);
    }
}
