//! Names what came back, and says what follows from it.
//! Pure functions of the answer, the endpoint's terms, the attempt's number and the time: the same facts always get
//! the same verdict, in the daemon, in the simulation and in the mock.

use crate::delivery::{Carried, DeadReason, Outcome, Reply, Verdict};
use crate::provider::Terms;
use crate::schedule::Draw;
use crate::time::{Span, Time};

/// The furthest that a receiver's Retry-After can move the next attempt.
pub const LONGEST_RETRY_AFTER: Span = Span::from_hours(24);

/// What to call the answer. The status decides alone: what the body did afterwards does not matter.
pub fn outcome(carried: &Carried, terms: &Terms) -> Outcome {
    match &carried.reply {
        Reply::Head { status, .. } if terms.success.contains(*status) => {
            let head_us = carried.timings.total_us.min(head_after_us(carried));
            let late = terms.late_after.is_some_and(|limit| head_us > limit.ms() as u64 * 1000);
            Outcome::Accepted { status: *status, late }
        }
        Reply::Head { status, .. } => Outcome::Rejected { status: *status },
        Reply::TimedOut { stage } => Outcome::TimedOut { stage: *stage },
        Reply::Unreachable { stage, error } => Outcome::Unreachable { stage: *stage, error: error.clone() },
        Reply::Blocked { reason } => Outcome::Blocked { reason: reason.clone() },
    }
}

/// From the start of the attempt to the head of its answer: the stages' sum, without the answer's body.
fn head_after_us(carried: &Carried) -> u64 {
    let timings = &carried.timings;
    [timings.dns_us, timings.connect_us, timings.tls_us, timings.first_byte_us].into_iter().flatten().sum()
}

/// What follows from `outcome` of an attempt that ended at `finished_at`; `attempt` is its number as the schedule counts:
/// from 1 when the delivery began, or when a person last asked to retry it.
///
/// `reply` is what was answered, for the wishes that it carries (Retry-After); `None` if nothing is known of it.
pub fn verdict(
    outcome: &Outcome,
    reply: Option<&Reply>,
    terms: &Terms,
    attempt: u32,
    finished_at: Time,
    draw: Draw,
) -> Verdict {
    match outcome {
        Outcome::Accepted { .. } => return Verdict::Delivered,
        Outcome::Rejected { status: 410 } if terms.gone_disables => return Verdict::Dead(DeadReason::EndpointGone),
        Outcome::Rejected { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Unreachable { .. }
        | Outcome::Blocked { .. }
        | Outcome::Unknown => {}
    }
    let Some(scheduled) = terms.schedule.next(attempt, finished_at, draw) else {
        return Verdict::Dead(DeadReason::ScheduleUsedUp);
    };
    let wished = reply.filter(|_| terms.obeys_retry_after).and_then(|reply| wished_wait(reply, finished_at));
    Verdict::RetryAt(wished.map_or(scheduled, |wait| scheduled.max(finished_at + wait)))
}

/// The wait that a 429 or 503 asks for in Retry-After (RFC 9110 section 10.2.3: seconds, or an HTTP date), at most 24 h.
/// `None` if it asks for none, or in words that mean nothing.
fn wished_wait(reply: &Reply, now: Time) -> Option<Span> {
    let Reply::Head { status: 429 | 503, retry_after: Some(text), .. } = reply else { return None };
    let text = text.trim();
    let wait = match text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        true => Span::from_seconds(text.parse().unwrap_or(i64::MAX)),
        false => {
            let at = httpdate::parse_http_date(text).ok()?;
            let since_epoch = at.duration_since(std::time::UNIX_EPOCH).ok()?;
            Time::from_ms(i64::try_from(since_epoch.as_millis()).ok()?).since(now)
        }
    };
    Some(wait.clamp(Span::ZERO, LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Stage, Timings};
    use crate::endpoint::{Overrides, ProfileName};
    use crate::provider::terms;

    /// 2026-11-01T00:00:00Z.
    const NOW: Time = Time::from_ms(1_793_491_200_000);

    fn head(status: u16, retry_after: Option<&str>) -> Reply {
        Reply::Head { status, retry_after: retry_after.map(str::to_owned), location: None, body: vec![] }
    }

    fn carried(reply: Reply, first_byte_us: u64, total_us: u64) -> Carried {
        let timings = Timings { first_byte_us: Some(first_byte_us), total_us, ..Timings::default() };
        Carried { started_at: NOW, finished_at: NOW, timings, remote: None, resent: false, reply }
    }

    fn judged(profile: ProfileName, reply: Reply, attempt: u32) -> Verdict {
        let terms = terms(profile, &Overrides::default());
        let carried = carried(reply, 1000, 1000);
        let outcome = outcome(&carried, &terms);
        verdict(&outcome, Some(&carried.reply), &terms, attempt, NOW, Draw(0))
    }

    #[test]
    fn only_200_succeeds_for_the_two_providers_and_any_2xx_for_the_standard() {
        for status in [100, 199, 201, 202, 204, 206, 299, 300, 301, 302, 304, 307, 400, 404, 410, 429, 500, 503, 999] {
            for profile in [ProfileName::Ensuro, ProfileName::Octamile] {
                assert_eq!(judged(profile, head(status, None), 1), Verdict::RetryAt(NOW + Span::from_seconds(30)));
            }
            let delivered = judged(ProfileName::Standard, head(status, None), 1) == Verdict::Delivered;
            assert_eq!(delivered, (200..300).contains(&status), "{status}");
        }
        for profile in ProfileName::ALL {
            assert_eq!(judged(profile, head(200, None), 1), Verdict::Delivered);
        }
    }

    #[test]
    fn the_schedule_ends_after_eleven_attempts() {
        let last = judged(ProfileName::Ensuro, head(500, None), 11);
        assert_eq!(last, Verdict::Dead(DeadReason::ScheduleUsedUp));
        let tenth = judged(ProfileName::Ensuro, head(500, None), 10);
        assert_eq!(tenth, Verdict::RetryAt(NOW + Span::from_seconds(600)));
    }

    #[test]
    fn retry_after_moves_later_never_earlier_at_most_a_day_and_only_where_it_means_something() {
        let standard = |status, text| match judged(ProfileName::Standard, head(status, Some(text)), 1) {
            Verdict::RetryAt(at) => at.since(NOW),
            other => panic!("{other:?}"),
        };
        let scheduled = Span::from_seconds(30);
        assert_eq!(standard(429, "120"), Span::from_seconds(120));
        assert_eq!(standard(503, " 120 "), Span::from_seconds(120));
        assert_eq!(standard(503, "Sun, 01 Nov 2026 01:00:00 GMT"), Span::from_hours(1));
        assert_eq!(standard(429, "3"), scheduled);
        assert_eq!(standard(429, "Sat, 31 Oct 2026 00:00:00 GMT"), scheduled);
        assert_eq!(standard(429, "999999999999999999999999"), Span::from_hours(24));
        assert_eq!(standard(429, "Fri, 01 Nov 2126 00:00:00 GMT"), Span::from_hours(24));
        assert_eq!(standard(500, "120"), scheduled);
        for nonsense in ["", "-5", "1.5", "soon", "99 bottles"] {
            assert_eq!(standard(429, nonsense), scheduled, "{nonsense:?}");
        }
        let ensuro = judged(ProfileName::Ensuro, head(429, Some("120")), 1);
        assert_eq!(ensuro, Verdict::RetryAt(NOW + scheduled));
    }

    #[test]
    fn gone_disables_in_the_standard_profile_only() {
        let standard = judged(ProfileName::Standard, head(410, None), 1);
        assert_eq!(standard, Verdict::Dead(DeadReason::EndpointGone));
        assert!(matches!(judged(ProfileName::Ensuro, head(410, None), 1), Verdict::RetryAt(_)));
    }

    #[test]
    fn an_octamile_answer_after_five_seconds_is_delivered_and_late() {
        let terms = terms(ProfileName::Octamile, &Overrides::default());
        let late = |first_byte_us, total_us| outcome(&carried(head(200, None), first_byte_us, total_us), &terms);
        assert_eq!(late(4_999_000, 5_900_000), Outcome::Accepted { status: 200, late: false });
        assert_eq!(late(5_000_001, 5_100_000), Outcome::Accepted { status: 200, late: true });
    }

    #[test]
    fn no_answer_is_a_retry() {
        let replies = [
            Reply::TimedOut { stage: Stage::Answer },
            Reply::Unreachable { stage: Stage::Connect, error: "connection refused".into() },
            Reply::Blocked { reason: "address is private".into() },
        ];
        for reply in replies {
            assert_eq!(judged(ProfileName::Ensuro, reply, 1), Verdict::RetryAt(NOW + Span::from_seconds(30)));
        }
    }
}
