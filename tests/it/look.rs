//! What an operator is told: why, pages, timetables and the state of the store, over a store that was filled through
//! its trait.

mod why;

use std::sync::Arc;

use postrider::delivery::{Attempt, DeliveryId, LeaseRequest, Outcome, Record, StateName, Timings, Token, Verdict};
use postrider::endpoint::{EndpointId, EndpointName, Key, Overrides, ProfileName, Scheme, Secret};
use postrider::event::{EventId, EventType, Subscription};
use postrider::operations::Refused;
use postrider::operations::answer::{Listing, ShownAnswer, TimetableAnswer};
use postrider::operations::look::list::{Asked, list};
use postrider::operations::look::status::status;
use postrider::operations::look::timetable::{of_profile, timetables};
use postrider::operations::look::why::{Around, Why, why};
use postrider::operations::look::{Daemon, Subject, find, redacted, show};
use postrider::signature::digest;
use postrider::store::sqlite::SqliteStore;
use postrider::store::{Command, NewEndpoint, NewEvent, Recipients, Reply, Store};
use postrider::time::{Span, Time};

/// 2026-11-01T00:00:00Z.
const NOW: Time = Time::from_ms(1_793_491_200_000);
const RUNS: Daemon = Daemon::Runs { pid: Some(812) };

struct World {
    store: SqliteStore,
    now: Time,
    tokens: i64,
}

impl World {
    fn new() -> Self {
        World { store: SqliteStore::in_memory().unwrap(), now: NOW, tokens: 0 }
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.store.apply(self.now, &[command]).unwrap().remove(0)
    }

    fn after(&mut self, span: Span) -> &mut Self {
        self.now = self.now + span;
        self
    }

    fn endpoint(&mut self, name: &str, profile: ProfileName, overrides: Overrides) -> EndpointId {
        let scheme = match profile {
            ProfileName::Ensuro => Some(Scheme::Hmac),
            ProfileName::Octamile => None,
            ProfileName::Standard => Some(Scheme::V1),
        };
        let keys =
            scheme.map(|scheme| Key { scheme, secret: Secret::new(vec![7; 32]), until: None }).into_iter().collect();
        let url = format!("https://{name}.example/hook?token=s3cret");
        let name = EndpointName::parse(name).unwrap();
        let endpoint = NewEndpoint { name, url, profile, subscriptions: vec![], overrides, keys };
        match self.apply(Command::AddEndpoint(endpoint)) {
            Reply::EndpointAdded(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn enqueue(&mut self, id: &str, event_type: &str, endpoints: &[EndpointId]) -> Vec<DeliveryId> {
        let body: Arc<[u8]> = format!("{{\"id\":\"{id}\"}}").into_bytes().into();
        let event = NewEvent {
            id: EventId::parse(id).unwrap(),
            event_type: EventType::parse(event_type).unwrap(),
            content_type: "application/json".to_owned(),
            digest: digest(&body),
            body,
            recipients: Recipients::Endpoints(endpoints.to_vec()),
            fingerprint: digest(id.as_bytes()),
            once: None,
            idempotency_key: None,
            trace: None,
        };
        match self.apply(Command::Enqueue(event)) {
            Reply::Enqueued(enqueued) => enqueued.deliveries.into_iter().map(|(delivery, _)| delivery).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Begins one attempt in a lane, leased for 20 s.
    fn lease(&mut self, lane: EndpointId) -> (DeliveryId, Token, u32) {
        self.tokens += 1;
        let token = Token(self.tokens);
        let until = self.now + Span::from_seconds(20);
        let request = LeaseRequest { lane, limit: 1, bytes: u64::MAX, until, token, most_attempts: 11 };
        match self.apply(Command::Lease(request)) {
            Reply::Leased(leased) => (leased.leases[0].delivery, token, leased.leases[0].attempt),
            other => panic!("{other:?}"),
        }
    }

    /// Makes one attempt in a lane that takes 2 s.
    fn attempt(&mut self, lane: EndpointId, outcome: Outcome, verdict: Verdict) {
        self.attempt_at(lane, outcome, verdict, None);
    }

    fn attempt_at(&mut self, lane: EndpointId, outcome: Outcome, verdict: Verdict, location: Option<&str>) {
        let (delivery, token, number) = self.lease(lane);
        let started_at = self.now;
        self.after(Span::from_seconds(2));
        let attempt = Attempt {
            number,
            started_at,
            finished_at: self.now,
            timings: Timings { total_us: 2_000_000, ..Timings::default() },
            remote: Some("203.0.113.7:443".to_owned()),
            resent: false,
            outcome,
            answer: b"\x1b[31mno".to_vec(),
            location: location.map(str::to_owned),
        };
        self.apply(Command::Record(Record { delivery, endpoint: lane, token, attempt, verdict }));
    }

    /// One attempt that fails, with its retry `wait` after its end; the time then is 10 s after its end.
    fn fail(&mut self, lane: EndpointId, outcome: Outcome, wait: Span) {
        let retry = Verdict::RetryAt(self.now + Span::from_seconds(2) + wait);
        self.attempt(lane, outcome, retry);
        self.after(Span::from_seconds(10));
    }

    fn why(&mut self, text: &str, daemon: Daemon) -> Why {
        let around = Around { daemon, concurrency: 8 };
        let subject = find(&mut self.store, text).unwrap();
        why(&mut self.store, self.now, &around, &subject).unwrap().deliveries.remove(0)
    }

    /// What `why` says and advises after one failed attempt to an endpoint of this profile.
    fn after_failure(profile: ProfileName, outcome: Outcome) -> (String, String) {
        let mut world = World::new();
        let lane = world.endpoint("acme", profile, Overrides::default());
        world.enqueue("msg_1", "policy/creation", &[lane]);
        world.fail(lane, outcome, Span::from_seconds(30));
        let why = world.why("msg_1", RUNS);
        (why.text, why.advice.unwrap())
    }
}

fn seconds(seconds: i64) -> Span {
    Span::from_seconds(seconds)
}

/// As `--json` prints it.
fn value(answer: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(answer).unwrap()
}

#[test]
fn an_event_that_nobody_is_owed_says_so() {
    let mut world = World::new();
    world.enqueue("msg_1", "policy/creation", &[]);
    let around = Around { daemon: RUNS, concurrency: 8 };
    let subject = find(&mut world.store, "msg_1").unwrap();
    let explained = why(&mut world.store, world.now, &around, &subject).unwrap();
    assert!(explained.deliveries.is_empty());
    assert!(explained.nobody.unwrap().contains("is owed to nobody: no endpoint subscribed to its type then"));
}

#[test]
fn an_id_is_a_delivery_or_an_event_and_a_slip_is_helped() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    world.enqueue("dlv_77", "policy/creation", &[lane]);
    let mut found = |text| find(&mut world.store, text);
    assert_eq!(found("dlv_1").unwrap(), Subject::Delivery(DeliveryId(1)));
    assert_eq!(found("dlv_77").unwrap(), Subject::Event(EventId::parse("dlv_77").unwrap()));
    let mut refused = |text| match found(text).unwrap_err() {
        Refused::Unknown(message) | Refused::Invalid(message) => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused("1"), "there is no event 1; did you mean dlv_1?");
    assert!(refused("dlv_2").starts_with("there is no delivery dlv_2; `postrider list` shows what there is"));
    assert!(refused("a b").contains("an event id has 1 to 64 characters"));
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let mut world = World::new();
    let acme = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    let other = world.endpoint("other", ProfileName::Standard, Overrides::default());
    for number in 1..=25 {
        world.after(seconds(1));
        world.enqueue(
            &format!("msg_{number}"),
            if number == 3 { "rare/one" } else { "policy/creation" },
            &[acme, other],
        );
    }
    let mut page = |asked: Asked| {
        let listed = list(&mut world.store, &asked).unwrap();
        (listed.rows.iter().map(|row| row.delivery.id.0).collect::<Vec<_>>(), listed.next.map(|next| next.0))
    };
    let limit = Some(20);
    let (first, next) = page(Asked { limit, ..Asked::default() });
    assert_eq!((first, next), ((31..=50).rev().collect(), Some(31)));
    let (second, next) = page(Asked { limit, before: next.map(DeliveryId), ..Asked::default() });
    assert_eq!((second, next), ((11..=30).rev().collect(), Some(11)));
    let (third, next) = page(Asked { limit, before: next.map(DeliveryId), ..Asked::default() });
    assert_eq!((third, next), ((1..=10).rev().collect(), None));

    let of = |text: &str| Some(Subscription::parse(text).unwrap());
    assert_eq!(page(Asked { event_type: of("rare/one"), ..Asked::default() }).0, [6, 5]);
    assert_eq!(page(Asked { event_type: of("rare/*"), limit: Some(1), ..Asked::default() }), (vec![6], Some(6)));
    assert_eq!(page(Asked { event_type: of("none/*"), ..Asked::default() }).0, [0; 0]);
    let acme_only = Asked { endpoint: Some("acme".into()), event_type: of("rare/one"), ..Asked::default() };
    assert_eq!(page(acme_only).0, [5]);
    assert_eq!(page(Asked { since: Some(NOW + seconds(24)), ..Asked::default() }).0, [50, 49, 48, 47]);
    assert_eq!(page(Asked { since: Some(NOW + seconds(26)), ..Asked::default() }).0, [0; 0]);
    assert_eq!(page(Asked { state: Some(StateName::Pending), limit: Some(2), ..Asked::default() }).0, [50, 49]);
    assert_eq!(page(Asked { state: Some(StateName::Dead), ..Asked::default() }).0, [0; 0]);

    let unknown = list(&mut world.store, &Asked { endpoint: Some("akme".into()), ..Asked::default() }).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no endpoint akme; did you mean acme?");
    assert!(list(&mut world.store, &Asked { limit: Some(1001), ..Asked::default() }).is_err());
}

#[test]
fn a_list_row_has_the_last_outcome_in_text_and_json() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    world.enqueue("msg_1", "policy/creation", &[lane]);
    world.fail(lane, Outcome::Rejected { status: 500 }, seconds(30));
    let listed = list(&mut world.store, &Asked::default()).unwrap();
    let shown = value(&Listing::from(listed));
    let row = &shown["deliveries"][0];
    assert_eq!(shown["next"], serde_json::Value::Null);
    assert_eq!((&row["delivery"], &row["endpoint"]), (&"dlv_1".into(), &"acme".into()));
    assert_eq!((&row["last"]["outcome"], &row["last"]["status"]), (&"rejected".into(), &500.into()));
    assert_eq!(row["due_at"], "2026-11-01T00:00:32.000Z");
}

#[test]
fn show_hides_the_urls_query_and_the_keys() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    world.enqueue("msg_1", "policy/creation", &[lane]);
    world.fail(lane, Outcome::Rejected { status: 500 }, seconds(30));
    let subject = find(&mut world.store, "msg_1").unwrap();
    let shown = value(&ShownAnswer::new(&show::show(&mut world.store, &subject).unwrap(), true));
    assert_eq!(shown["deliveries"][0]["url"], "https://acme.example/hook?token=***");
    assert_eq!(shown["deliveries"][0]["attempts"][0]["answer"], "\x1b[31mno");
    assert_eq!(shown["event"]["body"], "{\"id\":\"msg_1\"}");
    assert!(!shown.to_string().contains("s3cret"));
    assert_eq!(redacted("/a?b&c=d#e"), "/a?***&c=***#***");
    assert_eq!(redacted("https://a.example/b"), "https://a.example/b");
}

#[test]
fn status_names_the_endpoints_in_trouble_however_long_their_backlog() {
    let mut world = World::new();
    let down = world.endpoint("down", ProfileName::Ensuro, Overrides::default());
    let fine = world.endpoint("fine", ProfileName::Ensuro, Overrides::default());
    world.enqueue("msg_0", "policy/creation", &[down]);
    world.fail(down, Outcome::Rejected { status: 500 }, seconds(30));
    for number in 1..=40 {
        world.enqueue(&format!("msg_{number}"), "policy/creation", &[down]);
    }
    world.enqueue("msg_41", "policy/creation", &[fine]);
    let told = status(&mut world.store, world.now).unwrap();
    assert_eq!((told.counts.pending, told.counts.due, told.endpoints), (42, 41, 2));
    assert_eq!(told.counts.oldest_due, Some(NOW + seconds(12)));
    assert_eq!(told.counts.next_due, Some(NOW + seconds(32)));
    assert_eq!(told.troubled.len(), 1);
    let trouble = &told.troubled[0];
    assert_eq!((trouble.endpoint.as_str(), trouble.pending, trouble.delivery), ("down", 41, DeliveryId(1)));
}

#[test]
fn an_endpoint_that_answered_last_is_in_no_trouble_though_it_is_sent_the_same_again() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    let delivery = world.enqueue("msg_1", "policy/creation", &[lane])[0];
    world.attempt(lane, Outcome::Accepted { status: 200, late: false }, Verdict::Delivered);
    let now_due = world.now;
    world.apply(Command::Retry { delivery, states: vec![StateName::Delivered], now_due });
    let told = status(&mut world.store, world.now).unwrap();
    assert_eq!((told.counts.pending, told.troubled.len()), (1, 0));
}

#[test]
fn what_is_in_flight_is_neither_due_nor_next() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    world.enqueue("msg_1", "policy/creation", &[lane]);
    world.lease(lane);
    world.after(seconds(60));
    let counts = status(&mut world.store, world.now).unwrap().counts;
    assert_eq!((counts.pending, counts.leased, counts.due), (1, 1, 0));
    assert_eq!((counts.oldest_due, counts.next_due), (None, None));
    let owed = world.store.owed(lane).unwrap();
    assert_eq!((owed.pending, owed.in_flight, owed.tail.len()), (1, 1, 1));
}

#[test]
fn the_timetable_of_every_profile_is_the_documents() {
    for name in ProfileName::ALL {
        let table = of_profile(name);
        let waits: Vec<i64> = table.turns.iter().filter_map(|turn| turn.wait).map(|wait| wait.ms() / 1000).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 600, 600, 600, 600, 600]);
        assert_eq!((table.turns.len(), table.shortest, table.timeout), (11, seconds(3930), seconds(10)));
        assert_eq!(table.turns[10].after, seconds(3930));
        let jitter = if name == ProfileName::Standard { 393 } else { 0 };
        assert_eq!(table.longest, seconds(3930 + 110 + jitter));
    }
}

#[test]
fn a_profiles_name_comes_before_an_endpoints() {
    let mut world = World::new();
    let overrides = Overrides { schedule: Some(vec![seconds(5)]), ..Overrides::default() };
    world.endpoint("ensuro", ProfileName::Standard, overrides.clone());
    world.endpoint("acme", ProfileName::Standard, overrides);
    let mut of = |text| timetables(Some(&mut world.store), Some(text)).unwrap().remove(0);
    assert_eq!((of("ensuro").endpoint, of("ensuro").turns.len()), (None, 11));
    let acme = of("acme");
    assert_eq!((acme.endpoint.as_deref(), acme.turns.len()), (Some("acme"), 2));
    assert_eq!(acme.overrides, [("schedule", "5 s".to_owned())]);
    assert!(acme.sources.iter().all(|(what, _)| *what != "schedule"));
    assert_eq!(timetables(None, None).unwrap().len(), 3);
    assert!(timetables(None, Some("acme")).unwrap_err().to_string().contains("no store yet"));
    let json = value(&TimetableAnswer::all(&[acme], NOW));
    assert_eq!(json[0]["attempts"][1]["at"], "2026-11-01T00:00:05.000Z");
}
