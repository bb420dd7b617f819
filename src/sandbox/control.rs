//! The control routes, for `postrider sandbox approve`, `decline`, `list` and `clock`: they do what no partner can, and
//! refuse in the API's problems.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::desk::Undone;
use super::octamile;
use super::routes::{Counter, Shared};
use super::tell::Happening;
use super::world::{Command, Refusal, World};
use crate::api::Json;
use crate::api::body;
use crate::api::json::read_object;
use crate::api::problem::{Kind, Problem};
use crate::calendar::rfc3339;
use crate::daemon::clock::wall;
use crate::provider::ensuro::policy::Policy;
use crate::time::{Span, Time};

const MOST_BYTES: usize = 64 * 1024;
/// The furthest that the clock is moved at once.
const FURTHEST: Span = Span::from_hours(24 * 366 * 10);

pub fn routes() -> Router<Arc<Counter>> {
    Router::new()
        .route("/sandbox", get(list))
        .route("/sandbox/clock", get(clock).post(advance))
        .route("/sandbox/transactions/{id}", get(transaction))
        .route("/sandbox/transactions/{id}/approve", post(approve))
        .route("/sandbox/transactions/{id}/decline", post(decline))
}

async fn list(State(counter): Shared) -> Result<Json<Value>, Problem> {
    Ok(Json(counter.desk.look(state).await?))
}

fn state(world: &World, now: Time) -> Value {
    let transactions: Vec<Value> = world.octamile.transactions().map(octamile::Transaction::json).collect();
    json!({
        "clock": hands(world, now),
        "policies": world.ensuro.policies().map(short).collect::<Vec<Value>>(),
        "queued": world.ensuro.queued(),
        "transactions": transactions,
    })
}

/// What tells one policy from another.
fn short(policy: &Policy) -> Value {
    json!({
        "id": policy.id,
        "ensuro_id": policy.ensuro_id(),
        "status": policy.status.as_str(),
        "payout": policy.payout().to_string(),
        "actual_payout": policy.actual_payout.map(|payout| payout.to_string()),
        "expiration": rfc3339(policy.expiration()),
    })
}

fn hands(world: &World, now: Time) -> Value {
    let next = world.due().map(|(at, _)| rfc3339(at));
    json!({"now": rfc3339(now), "ahead_ms": world.ahead().ms(), "next_at": next})
}

async fn clock(State(counter): Shared) -> Result<Json<Value>, Problem> {
    Ok(Json(counter.desk.look(hands).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forward {
    by_ms: i64,
}

/// The journal first: a clock that went ahead stays ahead, whatever happens in between. In a task of its own, which goes on
/// when whoever asked hangs up: the daemon must not stay behind what is journaled.
async fn advance(State(counter): Shared, request: Request) -> Result<Json<Value>, Problem> {
    let Forward { by_ms } = read(&counter, request).await?;
    let by = Span::from_ms(by_ms);
    if by <= Span::ZERO || by > FURTHEST {
        let detail = format!("the clock moves forward only, by at most {FURTHEST} at once; {by_ms} ms is not that");
        return Err(Problem::envelope("/by_ms", detail));
    }
    let moved = tokio::spawn(async move {
        counter.desk.perform(Command::Advance { by }).await?;
        counter.handle.advance(by).await?;
        let (hands, ahead) = counter.desk.look(|world, now| (hands(world, now), world.ahead())).await?;
        (counter.tell)(wall(), &Happening::Clock { ahead });
        Ok(Json(hands))
    });
    moved.await.unwrap_or_else(|_| Err(Problem::internal()))
}

async fn transaction(State(counter): Shared, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let wanted = id.clone();
    let found = counter.desk.look(move |world, _| world.octamile.transaction(&wanted).map(octamile::Transaction::json));
    match found.await? {
        Some(found) => Ok(Json(found)),
        None => Err(Problem::new(Kind::NotFound, format!("there is no transaction {id:?}"))),
    }
}

async fn approve(State(counter): Shared, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    decide(&counter, octamile::Command::Approve { id: id.clone(), certificate: None }, id, "approved").await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    note: String,
}

async fn decline(State(counter): Shared, Path(id): Path<String>, request: Request) -> Result<Json<Value>, Problem> {
    let Reason { note } = read(&counter, request).await?;
    decide(&counter, octamile::Command::Decline { id: id.clone(), note }, id, "declined").await
}

async fn decide(counter: &Counter, command: octamile::Command, id: String, how: &str) -> Result<Json<Value>, Problem> {
    let done = counter.desk.perform(Command::Octamile(command)).await?;
    let silent = if done.notification.is_none() { ", and no webHook was given: nothing is sent" } else { "" };
    (counter.tell)(wall(), &Happening::CameAbout { what: format!("{id} is {how} by hand{silent}") });
    let mut answer = done.answer;
    answer["event"] = done.notification.map(|notification| notification.id).into();
    Ok(Json(answer))
}

async fn read<T: serde::de::DeserializeOwned>(counter: &Counter, request: Request) -> Result<T, Problem> {
    read_object(&body::read(request.into_body(), counter.limits(MOST_BYTES), |_| Ok(())).await?)
}

impl From<Undone> for Problem {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Refused(Refusal::Unknown(text)) => Problem::new(Kind::NotFound, text),
            Undone::Refused(Refusal::Conflict(text)) => Problem::new(Kind::Conflict, text),
            Undone::Unkept(text) => Problem::new(Kind::StoreUnavailable, text),
            Undone::Closed => Problem::internal(),
        }
    }
}
