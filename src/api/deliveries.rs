//! What became of events: listed, shown, explained; and what a person does about it: retry, cancel, replay.

use axum::extract::{Path, RawQuery, State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::problem::{Kind, Problem};
use super::query::read_query;
use super::{Api, Json};
use crate::calendar::parse_since;
use crate::daemon::clock::wall;
use crate::delivery::{DeliveryId, StateName};
use crate::event::{EventId, Subscription};
use crate::operations::answer::{
    Changed, ExplainedAnswer, Listing, Replayed, ShownAnswer, StatusAnswer, TimetableAnswer,
};
use crate::operations::look::{self, Daemon, Subject, list, show, status, timetable, why};
use crate::operations::resend::{self, Change, Replay, Wanted};
use crate::operations::{Refused, look::why::Around};
use crate::time::Time;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    state: Option<String>,
    endpoint: Option<String>,
    event: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    since: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// List deliveries, newest first.
#[utoipa::path(
    get, path = "/v1/deliveries", tag = "deliveries",
    params(
        ("state" = Option<crate::operations::answer::State>, Query, description = "only those in this state"),
        ("endpoint" = Option<String>, Query, description = "only those to this endpoint, or to a `one-off-3`"),
        ("event" = Option<String>, Query, description = "only those of this event"),
        ("type" = Option<String>, Query, description = "only those of events of this type, or family (`policy/*`)"),
        ("since" = Option<String>, Query, description = "only those of events accepted since: RFC 3339, a date, or a length of \
         time as 2h"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "how many a page has; 50 if nothing is said"),
    ),
    responses((status = 200, body = Listing), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list_deliveries(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing>, Problem> {
    let query: ListQuery = read_query(query.as_deref())?;
    let asked = list::Asked {
        state: query.state.as_deref().map(StateName::parse).transpose().map_err(parameter)?,
        endpoint: query.endpoint,
        event: query.event.as_deref().map(EventId::parse).transpose().map_err(parameter)?,
        event_type: query.event_type.as_deref().map(Subscription::parse).transpose().map_err(parameter)?,
        since: time(query.since.as_deref())?,
        before: query.cursor.as_deref().map(cursor).transpose()?,
        limit: query.limit,
    };
    let listed = api.handle.look(move |store, _| list::list(store, &asked).map(Listing::from)).await?;
    // What is named in the query and not there is a wrong parameter, not a wrong address.
    listed.map(Json).map_err(|refused| match refused {
        Refused::Unknown(text) | Refused::Invalid(text) => Problem::new(Kind::InvalidParameter, text),
        other => other.into(),
    })
}

pub(super) fn parameter(detail: String) -> Problem {
    Problem::new(Kind::InvalidParameter, detail)
}

fn time(text: Option<&str>) -> Result<Option<Time>, Problem> {
    text.map(|text| parse_since(text, wall())).transpose().map_err(parameter)
}

fn cursor(text: &str) -> Result<DeliveryId, Problem> {
    DeliveryId::parse(text)
        .ok_or_else(|| parameter("a cursor is what `next` of the page before said, as dlv_42".to_owned()))
}

/// The delivery that a path names, or the problem that there is none.
fn delivery(text: &str) -> Result<Subject, Problem> {
    let id = DeliveryId::parse(text).map(Subject::Delivery);
    id.ok_or_else(|| Problem::new(Kind::NotFound, "there is no such delivery: its id is dlv_ and a number"))
}

fn event(text: &str) -> Result<Subject, Problem> {
    EventId::parse(text).map(Subject::Event).map_err(|detail| Problem::new(Kind::NotFound, detail))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    #[serde(default)]
    body: bool,
}

/// Show an event with its deliveries and all their attempts.
#[utoipa::path(
    get, path = "/v1/events/{id}", tag = "events",
    params(("id" = String, Path, description = "the event's id"),
        ("body" = Option<bool>, Query, description = "with the body: as text if it is UTF-8, else as base64")),
    responses((status = 200, body = ShownAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn show_event(
    State(api): State<Api>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<ShownAnswer>, Problem> {
    show(api, event(&id)?, query).await
}

/// Show a delivery with all its attempts, and its event.
#[utoipa::path(
    get, path = "/v1/deliveries/{id}", tag = "deliveries",
    params(("id" = String, Path, description = "the delivery's id, as dlv_42"),
        ("body" = Option<bool>, Query, description = "with the event's body")),
    responses((status = 200, body = ShownAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn show_delivery(
    State(api): State<Api>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<ShownAnswer>, Problem> {
    show(api, delivery(&id)?, query).await
}

async fn show(api: Api, subject: Subject, query: Option<String>) -> Result<Json<ShownAnswer>, Problem> {
    let query: ShowQuery = read_query(query.as_deref())?;
    let shown = api.handle.look(move |store, _| {
        let subject = look::there(store, subject)?;
        show::show(store, &subject).map(|shown| ShownAnswer::new(&shown, query.body))
    });
    Ok(Json(shown.await??))
}

/// Say why an event's deliveries are where they are, and what happens next.
#[utoipa::path(
    get, path = "/v1/events/{id}/why", tag = "events", params(("id" = String, Path, description = "the event's id")),
    responses((status = 200, body = ExplainedAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn why_event(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<ExplainedAnswer>, Problem> {
    explain(api, event(&id)?).await
}

/// Say why a delivery is where it is, and what happens next.
#[utoipa::path(
    get, path = "/v1/deliveries/{id}/why", tag = "deliveries",
    params(("id" = String, Path, description = "the delivery's id, as dlv_42")),
    responses((status = 200, body = ExplainedAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn why_delivery(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<ExplainedAnswer>, Problem> {
    explain(api, delivery(&id)?).await
}

async fn explain(api: Api, subject: Subject) -> Result<Json<ExplainedAnswer>, Problem> {
    let around = Around { daemon: here(), concurrency: api.handle.config().delivery.concurrency_per_endpoint };
    let explained = api.handle.look(move |store, now| {
        let subject = look::there(store, subject)?;
        why::why(store, now, &around, &subject).map(ExplainedAnswer::from)
    });
    Ok(Json(explained.await??))
}

/// Whoever answers here is the daemon.
fn here() -> Daemon {
    Daemon::Runs { pid: Some(std::process::id()) }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryQuery {
    #[serde(default)]
    delivered: bool,
}

/// Make an event's deliveries due now.
///
/// What had ended dead or cancelled begins its schedule anew; what waits only stops waiting; with `delivered=true`, what was
/// delivered is sent again.
#[utoipa::path(
    post, path = "/v1/events/{id}/retry", tag = "events",
    params(("id" = String, Path, description = "the event's id"),
        ("delivered" = Option<bool>, Query, description = "also what was delivered")),
    responses((status = 200, body = Changed), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn retry_event(
    State(api): State<Api>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Changed>, Problem> {
    retry(api, event(&id)?, query).await
}

/// Make a delivery due now.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/retry", tag = "deliveries",
    params(("id" = String, Path, description = "the delivery's id, as dlv_42"),
        ("delivered" = Option<bool>, Query, description = "even if it was delivered")),
    responses((status = 200, body = Changed), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn retry_delivery(
    State(api): State<Api>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Changed>, Problem> {
    retry(api, delivery(&id)?, query).await
}

async fn retry(api: Api, subject: Subject, query: Option<String>) -> Result<Json<Changed>, Problem> {
    let query: RetryQuery = read_query(query.as_deref())?;
    let changed = api.handle.change(move |store, now| {
        let subject = look::there(store, subject)?;
        resend::retry(store, now, &subject, query.delivered)
    });
    Ok(Json(Changed::from(changed.await??)))
}

/// Cancel an event's deliveries, as far as they are pending.
///
/// An attempt in flight is not called back: if the receiver accepts it, that delivery is delivered all the same.
#[utoipa::path(
    post, path = "/v1/events/{id}/cancel", tag = "events", params(("id" = String, Path, description = "the event's id")),
    responses((status = 200, body = Changed), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cancel_event(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Changed>, Problem> {
    cancel(api, event(&id)?).await
}

/// Cancel a pending delivery.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/cancel", tag = "deliveries",
    params(("id" = String, Path, description = "the delivery's id, as dlv_42")),
    responses((status = 200, body = Changed), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cancel_delivery(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Changed>, Problem> {
    cancel(api, delivery(&id)?).await
}

async fn cancel(api: Api, subject: Subject) -> Result<Json<Changed>, Problem> {
    let changed = api.handle.change(move |store, now| {
        let subject = look::there(store, subject)?;
        resend::cancel(store, now, &subject)
    });
    let changed: Vec<Change> = changed.await??;
    for change in changed.iter().filter(|change| change.changed) {
        api.handle.metrics().deliveries_ended(change.profile, StateName::Cancelled, 1);
    }
    Ok(Json(Changed::from(changed)))
}

/// Which deliveries to send again. Everything that is left out does not matter, but the state is `dead` then.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayRequest {
    /// `dead`, `cancelled` or `delivered`.
    #[serde(default)]
    #[schema(value_type = Option<crate::operations::answer::State>)]
    state: Option<String>,
    /// An endpoint's name, or `one-off-3`.
    #[serde(default)]
    endpoint: Option<String>,
    /// A type, or a family (`policy/*`).
    #[serde(default, rename = "type")]
    event_type: Option<String>,
    /// Of events accepted since: RFC 3339, a date, or a length of time as 2h.
    #[serde(default)]
    since: Option<String>,
    /// Of events accepted before.
    #[serde(default)]
    until: Option<String>,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
}

/// Send many deliveries again.
///
/// With `dry_run` it only counts. Each delivery begins its schedule anew; the older events go first. It is done in parts, between
/// other work; if the connection is cut meanwhile, what was done stays done and the rest is left.
#[utoipa::path(
    post, path = "/v1/replays", tag = "deliveries", request_body = ReplayRequest,
    responses((status = 200, body = Replayed), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn replay(State(api): State<Api>, request: axum::extract::Request) -> Result<Json<Replayed>, Problem> {
    let asked: ReplayRequest = super::envelope(&api, request).await?;
    let at = |pointer: &'static str| move |detail: String| Problem::envelope(pointer, detail);
    let instant =
        |text: Option<&str>, pointer| text.map(|text| parse_since(text, wall())).transpose().map_err(at(pointer));
    let wanted = Wanted {
        state: asked.state.as_deref().map_or(Ok(StateName::Dead), StateName::parse).map_err(at("/state"))?,
        endpoint: asked.endpoint,
        event_type: asked.event_type.as_deref().map(Subscription::parse).transpose().map_err(at("/type"))?,
        since: instant(asked.since.as_deref(), "/since")?,
        until: instant(asked.until.as_deref(), "/until")?,
    };
    let begun = api.handle.look(move |store, now| Replay::begin(store, now, &wanted, asked.dry_run)).await?;
    let mut replay = begun.map_err(|refused| match refused {
        Refused::Unknown(text) => Problem::envelope("/endpoint", text),
        Refused::Invalid(text) => Problem::envelope("/state", text),
        other => other.into(),
    })?;
    loop {
        let step = move |store: &mut dyn crate::store::Store, now: Time| {
            let more = replay.step(store, now)?;
            Ok::<_, Refused>((replay, more))
        };
        let done = match asked.dry_run {
            true => api.handle.look(step).await?,
            false => api.handle.change(step).await?,
        };
        let (after, more) = done?;
        replay = after;
        if !more {
            return Ok(Json(Replayed::from(&replay)));
        }
    }
}

/// Say how much there is of everything, and which endpoints are in trouble.
#[utoipa::path(
    get, path = "/v1/status", tag = "operation",
    responses((status = 200, body = StatusAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn show_status(State(api): State<Api>) -> Result<Json<StatusAnswer>, Problem> {
    let path = api.handle.config().store.path.clone();
    let found = api.handle.look(move |store, now| {
        status::status(store, now).map(|status| StatusAnswer::new(&path, here(), &status, now))
    });
    Ok(Json(found.await??))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleQuery {
    of: Option<String>,
}

/// Show when a profile or an endpoint is tried again.
#[utoipa::path(
    get, path = "/v1/schedule", tag = "operation",
    params(("of" = Option<String>, Query, description = "a profile or an endpoint; without it, every profile")),
    responses((status = 200, body = Vec<TimetableAnswer>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn schedule(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<TimetableAnswer>>, Problem> {
    let query: ScheduleQuery = read_query(query.as_deref())?;
    let found = api.handle.look(move |store, now| {
        let tables = timetable::timetables(Some(store), query.of.as_deref())?;
        Ok::<_, Refused>(TimetableAnswer::all(&tables, now))
    });
    let found: Result<Vec<TimetableAnswer>, Refused> = found.await?;
    found.map(Json).map_err(|refused| match refused {
        Refused::Unknown(text) | Refused::Invalid(text) => parameter(text),
        other => other.into(),
    })
}
