//! What the rules say over and over, said once: short ways to ask a store, and the things that it is asked about.

use std::sync::Arc;

use postrider::delivery::{Attempt, Delivery, DeliveryId, DeliveryState, Outcome, Timings, Token, Verdict};
use postrider::endpoint::{Endpoint, EndpointId, EndpointName, Key, Overrides, ProfileName, Scheme, Secret};
use postrider::event::{EventId, EventType};
use postrider::store::{
    Command, Enqueued, Filter, LaneDue, LeaseRequest, Leased, Listed, NewEndpoint, NewEvent, Page, Recipients, Record,
    Recorded, Refusal, Reply, Store,
};
use postrider::time::{Span, Time};
use sha2::{Digest, Sha256};

pub const EVERYTHING: Page = Page { before: None, limit: 10_000 };

/// So many seconds after the tests' beginning of time.
pub fn at(seconds: i64) -> Time {
    Time::from_ms(1_700_000_000_000) + Span::from_seconds(seconds)
}

pub fn id(text: &str) -> EventId {
    EventId::parse(text).expect("an event id")
}

pub fn event_type(text: &str) -> EventType {
    EventType::parse(text).expect("an event type")
}

pub fn name(text: &str) -> EndpointName {
    EndpointName::parse(text).expect("an endpoint's name")
}

pub fn key(secret: &str) -> Key {
    Key { scheme: Scheme::Hmac, secret: Secret::new(secret.as_bytes().to_vec()), until: None }
}

pub fn new_endpoint(text: &str) -> NewEndpoint {
    NewEndpoint {
        name: name(text),
        url: format!("https://{text}.example/hook"),
        profile: ProfileName::Ensuro,
        subscriptions: Vec::new(),
        overrides: Overrides::default(),
        keys: vec![key("topsecret")],
    }
}

/// An event whose body is its id, unless the rule gives it another.
pub fn new_event(text: &str, endpoints: &[EndpointId]) -> NewEvent {
    with_body(
        NewEvent {
            id: id(text),
            event_type: event_type("policy/creation"),
            content_type: "application/json".to_owned(),
            body: Arc::from([]),
            digest: [0; 32],
            recipients: Recipients::Endpoints(endpoints.to_vec()),
            fingerprint: [0; 32],
            once: None,
            idempotency_key: None,
            trace: None,
        },
        text.as_bytes(),
    )
}

/// The same request but for the body: digest and fingerprint follow.
pub fn with_body(event: NewEvent, body: &[u8]) -> NewEvent {
    let digest = Sha256::digest(body).into();
    let fingerprint = Sha256::new()
        .chain_update(event.event_type.as_str())
        .chain_update([0])
        .chain_update(&event.content_type)
        .chain_update(format!("{:?}", event.recipients))
        .chain_update(body)
        .finalize()
        .into();
    NewEvent { body: Arc::from(body), digest, fingerprint, ..event }
}

pub fn one_off(text: &str, url: &str, keys: &[Key]) -> NewEvent {
    let recipients = Recipients::OneOff { profile: ProfileName::Standard, url: url.to_owned(), keys: keys.to_vec() };
    with_body(NewEvent { recipients, ..new_event(text, &[]) }, text.as_bytes())
}

pub fn apply(store: &mut dyn Store, now: Time, command: Command) -> Reply {
    let mut replies = store.apply(now, &[command]).expect("the store is well");
    assert_eq!(replies.len(), 1, "a reply for each command");
    replies.remove(0)
}

pub fn add(store: &mut dyn Store, text: &str) -> EndpointId {
    match apply(store, at(0), Command::AddEndpoint(new_endpoint(text))) {
        Reply::EndpointAdded(endpoint) => endpoint,
        other => panic!("{text} was not added: {other:?}"),
    }
}

pub fn enqueue(store: &mut dyn Store, now: Time, event: NewEvent) -> Enqueued {
    match apply(store, now, Command::Enqueue(event)) {
        Reply::Enqueued(enqueued) => enqueued,
        other => panic!("not enqueued: {other:?}"),
    }
}

/// Enqueues an event to one endpoint, and gives its delivery.
pub fn owe(store: &mut dyn Store, now: Time, text: &str, endpoint: EndpointId) -> DeliveryId {
    let enqueued = enqueue(store, now, new_event(text, &[endpoint]));
    assert_eq!(enqueued.deliveries.len(), 1);
    enqueued.deliveries[0].0
}

pub fn refused(store: &mut dyn Store, now: Time, command: Command) -> Refusal {
    match apply(store, now, command) {
        Reply::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub fn done(store: &mut dyn Store, now: Time, command: Command) -> u64 {
    match apply(store, now, command) {
        Reply::Done(number) => number,
        other => panic!("not done: {other:?}"),
    }
}

/// Generous in everything; leases for 30 seconds.
pub fn request(lane: EndpointId, now: Time, token: i64) -> LeaseRequest {
    let until = now + Span::from_seconds(30);
    LeaseRequest { lane, limit: 100, bytes: 1 << 20, until, token: Token(token), most_attempts: 11 }
}

pub fn lease_as(store: &mut dyn Store, now: Time, request: LeaseRequest) -> Leased {
    match apply(store, now, Command::Lease(request)) {
        Reply::Leased(leased) => leased,
        other => panic!("not leased: {other:?}"),
    }
}

pub fn lease(store: &mut dyn Store, now: Time, lane: EndpointId, token: i64) -> Leased {
    lease_as(store, now, request(lane, now, token))
}

pub fn leased_ids(leased: &Leased) -> Vec<DeliveryId> {
    leased.leases.iter().map(|lease| lease.delivery).collect()
}

/// Leases what is due in a lane, and has the receiver accept all of it at once.
pub fn deliver_all(store: &mut dyn Store, now: Time, lane: EndpointId, token: i64) {
    for lease in lease(store, now, lane, token).leases {
        let outcome = attempt(lease.attempt, now, now, Outcome::Accepted { status: 200, late: false });
        assert_eq!(record(store, now, lease.delivery, token, outcome, Verdict::Delivered), Recorded::Counted);
    }
}

pub fn attempt(number: u32, started_at: Time, finished_at: Time, outcome: Outcome) -> Attempt {
    Attempt {
        number,
        started_at,
        finished_at,
        timings: Timings { total_us: 1_500, ..Timings::default() },
        remote: None,
        resent: false,
        outcome,
        answer: Vec::new(),
        location: None,
    }
}

/// The attempt as a store closes it when nobody will tell any more how it went.
pub fn unknown(number: u32, started_at: Time, finished_at: Time) -> Attempt {
    Attempt { timings: Timings::default(), ..attempt(number, started_at, finished_at, Outcome::Unknown) }
}

pub fn accepted() -> Outcome {
    Outcome::Accepted { status: 200, late: false }
}

pub fn rejected() -> Outcome {
    Outcome::Rejected { status: 500 }
}

pub fn record(
    store: &mut dyn Store,
    now: Time,
    delivery: DeliveryId,
    token: i64,
    attempt: Attempt,
    verdict: Verdict,
) -> Recorded {
    let endpoint = find(store, delivery).map_or(EndpointId(1), |listed| listed.delivery.endpoint);
    let record = Record { delivery, endpoint, token: Token(token), attempt, verdict };
    match apply(store, now, Command::Record(record)) {
        Reply::Recorded(recorded) => recorded,
        other => panic!("not recorded: {other:?}"),
    }
}

pub fn find(store: &mut dyn Store, delivery: DeliveryId) -> Option<Listed> {
    let filter = Filter { delivery: Some(delivery), ..Filter::default() };
    let mut found = store.deliveries(&filter, EVERYTHING).expect("the store is well");
    assert!(found.len() <= 1, "one row for {delivery}: {found:?}");
    found.pop()
}

pub fn delivery(store: &mut dyn Store, delivery: DeliveryId) -> Delivery {
    find(store, delivery).unwrap_or_else(|| panic!("{delivery} is there")).delivery
}

pub fn state(store: &mut dyn Store, id: DeliveryId) -> DeliveryState {
    delivery(store, id).state
}

pub fn attempts(store: &mut dyn Store, delivery: DeliveryId) -> Vec<Attempt> {
    store.attempts(delivery).expect("the store is well")
}

pub fn endpoint(store: &mut dyn Store, id: EndpointId) -> Endpoint {
    store.endpoint(id).expect("the store is well").expect("an endpoint")
}

/// By lane: a store may give them in any order.
pub fn lanes(store: &mut dyn Store) -> Vec<LaneDue> {
    let mut lanes = store.lanes().expect("the store is well");
    lanes.sort_by_key(|due| due.lane);
    lanes
}

pub fn waiting(due_at: Time) -> DeliveryState {
    DeliveryState::Pending { due_at, leased_at: None }
}

pub fn in_flight(leased_at: Time, due_at: Time) -> DeliveryState {
    DeliveryState::Pending { due_at, leased_at: Some(leased_at) }
}
