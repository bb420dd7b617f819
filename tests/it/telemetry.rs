//! Spans as a collector gets them, and collectors as they are: slow, deaf, gone. None of them slows the daemon.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Exported;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use postrider::delivery::{Attempt, DeliveryId, Outcome, Stage, Timings, Verdict};
use postrider::endpoint::ProfileName;
use postrider::event::{EventId, EventType};
use postrider::observe::AttemptEnded;
use postrider::observe::metrics::Metrics;
use postrider::observe::spans::Spans;
use postrider::time::{Span, Time};
use postrider::trace::TraceContext;
use prost::Message;

use crate::receivers::certificates::Authority;
use crate::receivers::{Answer, Door, Receiver};

const NOW: Time = Time::from_ms(1_793_491_200_000);
const PATIENCE: Duration = Duration::from_secs(10);
const URL: &str = "https://hooks.example/t/SECRET?key=SECRET";
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn collector() -> Receiver {
    Receiver::start(|_| Answer::with(200, &[("content-type", "application/x-protobuf")], b""))
}

fn base(receiver: &Receiver) -> String {
    receiver.url().trim_end_matches("/hook").to_owned()
}

fn spans_to(receiver: &Receiver) -> Spans {
    Spans::start(&base(receiver), &Metrics::new()).unwrap()
}

fn id() -> EventId {
    EventId::parse("evt_1").unwrap()
}

fn event_type() -> EventType {
    EventType::parse("policy/creation").unwrap()
}

/// Tells of attempt `number`, which took 52,250 microseconds.
fn attempt(spans: &Spans, number: u32, outcome: Outcome, trace: Option<&TraceContext>) {
    let attempt = Attempt {
        number,
        started_at: NOW,
        finished_at: NOW + Span::from_ms(52),
        timings: Timings { total_us: 52_250, ..Timings::default() },
        remote: Some("[2001:db8::1]:443".to_owned()),
        resent: false,
        outcome,
        answer: b"SECRET ANSWER".to_vec(),
        location: Some("https://other.example/?token=SECRET".to_owned()),
    };
    let ended = AttemptEnded {
        event: &id(),
        event_type: &event_type(),
        endpoint: "acme",
        profile: ProfileName::Ensuro,
        delivery: DeliveryId(7),
        attempt: &attempt,
        of: 11,
        verdict: Verdict::RetryAt(NOW),
    };
    spans.attempt_ended(&ended, URL, trace);
}

/// What the collector got so far.
fn exported(collector: &Receiver) -> Vec<Exported> {
    let mut spans = Vec::new();
    for request in collector.requests() {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/traces"));
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        for resource in ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap().resource_spans {
            let about = named(&resource.resource.unwrap().attributes);
            assert_eq!(about["service.name"], "postrider");
            assert_eq!(about["service.version"], env!("CARGO_PKG_VERSION"));
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    spans
}

fn named(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let shown = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let value = |attribute: &KeyValue| shown(attribute.value.as_ref().unwrap().value.as_ref().unwrap());
    attributes.iter().map(|attribute| (attribute.key.clone(), value(attribute))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Trace and span of a context, as a collector shows them.
fn ids(trace: &TraceContext) -> (String, String) {
    (trace.trace_id().to_owned(), trace.parent_id().to_owned())
}

/// The value of a counter of dropped spans.
fn dropped(metrics: &Metrics, reason: &str) -> u64 {
    let start = format!("postrider_spans_dropped_total{{reason=\"{reason}\"}} ");
    let text = metrics.text();
    text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
}

#[test]
fn an_attempt_is_a_client_span_by_the_conventions_and_linked_to_the_acceptance() {
    let collector = collector();
    let spans = spans_to(&collector);
    let trace = TraceContext::parse(CALLER, Some("congo=t61")).unwrap();
    attempt(&spans, 3, Outcome::Rejected { status: 503 }, Some(&trace));
    spans.stop(PATIENCE);

    let all = exported(&collector);
    let [span] = all.as_slice() else { panic!("{all:#?}") };
    assert_eq!((span.name.as_str(), span.kind()), ("POST", SpanKind::Client));
    assert_eq!(span.start_time_unix_nano, 1_793_491_200_000_000_000);
    assert_eq!(span.end_time_unix_nano, 1_793_491_200_052_250_000);
    let expected = [
        ("error.type", "503"),
        ("http.request.method", "POST"),
        ("http.request.resend_count", "2"),
        ("http.response.status_code", "503"),
        ("network.peer.address", "2001:db8::1"),
        ("network.peer.port", "443"),
        ("postrider.attempt", "3"),
        ("postrider.delivery.id", "dlv_7"),
        ("postrider.endpoint", "acme"),
        ("postrider.event.id", "evt_1"),
        ("postrider.event.type", "policy/creation"),
        ("postrider.outcome", "rejected"),
        ("postrider.profile", "ensuro"),
        ("server.address", "hooks.example"),
        ("server.port", "443"),
    ];
    let expected: BTreeMap<String, String> = expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    assert_eq!(named(&span.attributes), expected);
    assert_eq!(span.status.as_ref().unwrap().code, 2);
    let [link] = span.links.as_slice() else { panic!("{:?}", span.links) };
    assert_eq!((hex(&link.trace_id), hex(&link.span_id)), ids(&trace));
    assert_eq!(link.trace_state, "congo=t61");
    assert!(span.parent_span_id.is_empty() && hex(&span.trace_id) != trace.trace_id());
    let sent = collector.requests().into_iter().flat_map(|request| request.body).collect::<Vec<u8>>();
    assert!(!sent.windows(6).any(|bytes| bytes == b"SECRET"));
}

#[test]
fn only_an_accepted_attempt_is_no_error() {
    let collector = collector();
    let spans = spans_to(&collector);
    let cases = [
        (Outcome::Accepted { status: 200, late: true }, None, 0, ""),
        (Outcome::Rejected { status: 302 }, Some("302"), 2, ""),
        (Outcome::TimedOut { stage: Stage::Answer }, Some("timeout"), 2, "timed out (answer)"),
        (
            Outcome::Unreachable { stage: Stage::Tls, error: "bad certificate".to_owned() },
            Some("unreachable.tls"),
            2,
            "bad certificate",
        ),
        (Outcome::Blocked { reason: "not public".to_owned() }, Some("blocked"), 2, "not public"),
        (Outcome::Unknown, Some("unknown"), 2, "unknown"),
    ];
    for (outcome, ..) in &cases {
        attempt(&spans, 1, outcome.clone(), None);
    }
    spans.stop(PATIENCE);
    let all = exported(&collector);
    assert_eq!(all.len(), cases.len());
    for (span, (outcome, error, code, message)) in all.iter().zip(cases) {
        let attributes = named(&span.attributes);
        let status = span.status.clone().unwrap_or_default();
        assert_eq!((status.code, status.message.as_str()), (code, message), "{outcome:?}");
        assert_eq!(attributes.get("error.type").map(String::as_str), error, "{outcome:?}");
        assert!(!attributes.contains_key("http.request.resend_count") && span.links.is_empty());
    }
}

/// An event that is accepted from `NOW` on, and what is kept with it.
fn acceptance(spans: &Spans, parent: Option<&TraceContext>, until: Time) -> Option<TraceContext> {
    let accepting = spans.accepting(parent, NOW);
    let kept = accepting.context();
    accepting.accepted(until, id().as_str(), event_type().as_str());
    kept
}

#[test]
fn an_acceptance_is_a_child_of_its_caller_and_what_attempts_are_linked_to() {
    let collector = collector();
    let spans = spans_to(&collector);
    let caller = TraceContext::parse(CALLER, Some("congo=t61")).unwrap();
    let until = NOW + Span::from_ms(3);
    let ours = acceptance(&spans, Some(&caller), until).unwrap();
    assert_eq!((ours.trace_id(), ours.tracestate()), (caller.trace_id(), Some("congo=t61")));
    assert!(ours.parent_id() != caller.parent_id() && ours.is_sampled());
    let own = acceptance(&spans, None, until).unwrap();
    assert!(own.trace_id() != caller.trace_id() && own.is_sampled());
    attempt(
        &spans,
        1,
        Outcome::Accepted { status: 200, late: false },
        TraceContext::from_text(&ours.to_string()).ok().as_ref(),
    );
    spans.stop(PATIENCE);

    let all = exported(&collector);
    let [accepted, alone, sent] = all.as_slice() else { panic!("{all:#?}") };
    assert_eq!((accepted.name.as_str(), accepted.kind()), ("enqueue", SpanKind::Server));
    assert_eq!((hex(&accepted.trace_id), hex(&accepted.span_id)), ids(&ours));
    assert_eq!(hex(&accepted.parent_span_id), caller.parent_id());
    assert_eq!(accepted.end_time_unix_nano - accepted.start_time_unix_nano, 3_000_000);
    assert_eq!(named(&accepted.attributes)["postrider.event.id"], "evt_1");
    assert!(alone.parent_span_id.is_empty());
    assert_eq!((hex(&alone.trace_id), hex(&alone.span_id)), ids(&own));
    assert_eq!((&sent.links[0].trace_id, &sent.links[0].span_id), (&accepted.trace_id, &accepted.span_id));
}

#[test]
fn what_nobody_records_is_kept_as_it_came() {
    let sampled = TraceContext::parse(CALLER, Some("congo=t61")).unwrap();
    let accepted = |spans: &Spans, parent| acceptance(spans, parent, NOW);
    for off in [Spans::off(), Spans::start("", &Metrics::new()).unwrap()] {
        assert_eq!(accepted(&off, Some(&sampled)), Some(sampled.clone()));
        assert_eq!(accepted(&off, None), None);
        attempt(&off, 1, Outcome::Unknown, None);
        off.stop(PATIENCE);
    }
    let collector = collector();
    let spans = spans_to(&collector);
    let unsampled = TraceContext::parse(&CALLER.replace("-01", "-00"), None).unwrap();
    assert_eq!(accepted(&spans, Some(&unsampled)), Some(unsampled.clone()));
    attempt(&spans, 1, Outcome::Unknown, Some(&unsampled));
    spans.stop(PATIENCE);
    assert_eq!(collector.connections(), 0);
    // Nothing is made any more, and nothing breaks.
    assert_eq!(accepted(&spans, Some(&sampled)), Some(sampled));
    attempt(&spans, 1, Outcome::Unknown, None);
}

#[test]
fn a_bad_endpoint_is_refused_with_a_sentence() {
    for bad in ["127.0.0.1:4318", "unix:/run/otel", "http://me:SECRET@127.0.0.1:4318"] {
        let refused = Spans::start(bad, &Metrics::new()).unwrap_err();
        assert!(refused.contains("http://127.0.0.1:4318") && !refused.contains("SECRET"), "{refused}");
    }
}

/// Makes more spans than can wait, and holds that to be quick; then stops within half a second.
fn outlive(endpoint: &str) -> Metrics {
    let metrics = Metrics::new();
    let spans = Spans::start(endpoint, &metrics).unwrap();
    let begun = Instant::now();
    for _ in 0..20_000 {
        attempt(&spans, 1, Outcome::Accepted { status: 200, late: false }, None);
    }
    // Some 10 microseconds each, and many times that on a machine that is busy.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let begun = Instant::now();
    spans.stop(Duration::from_millis(500));
    drop(spans);
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    metrics
}

#[test]
fn a_collector_that_hangs_costs_its_spans_and_nothing_else() {
    for collector in [Receiver::behind(Door::Hang, false), Receiver::start(|_| Answer::hang())] {
        let metrics = outlive(&base(&collector));
        // One batch is under way, as many wait as may, and the rest was dropped.
        assert!(dropped(&metrics, "queue_full") >= 20_000 - 4096 - 512 * 2, "{}", metrics.text());
    }
}

#[test]
fn a_collector_that_is_not_there_costs_its_spans_and_nothing_else() {
    let mut gone = collector();
    gone.stop();
    let metrics = outlive(&base(&gone));
    assert!(dropped(&metrics, "queue_full") > 0);
}

#[test]
fn a_collector_that_refuses_or_points_elsewhere_gets_nothing_twice() {
    let elsewhere = collector();
    let target = elsewhere.url();
    let refuses = Receiver::start(|_| Answer::status(400));
    let points = Receiver::start(move |_| Answer::redirect(&target));
    for collector in [refuses, points] {
        let metrics = Metrics::new();
        let spans = Spans::start(&base(&collector), &metrics).unwrap();
        for _ in 0..3 {
            attempt(&spans, 1, Outcome::Unknown, None);
        }
        spans.stop(PATIENCE);
        assert_eq!((collector.requests().len(), elsewhere.connections()), (1, 0));
        assert_eq!((dropped(&metrics, "export_failed"), dropped(&metrics, "queue_full")), (3, 0));
    }
}

#[test]
fn all_of_it_may_happen_where_tasks_run() {
    let collector = collector();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let spans = spans_to(&collector);
        attempt(&spans, 1, Outcome::Unknown, None);
        spans.stop(PATIENCE);
        // And without a stop.
        attempt(&spans_to(&collector), 1, Outcome::Unknown, None);
    });
    assert_eq!(exported(&collector).len(), 2);
}

/// Runs itself again in a process whose environment names a proxy and trusted roots: here it cannot be changed safely.
#[test]
fn a_collector_is_reached_over_tls_by_the_systems_roots_and_never_by_a_proxy() {
    const NAME: &str = "telemetry::a_collector_is_reached_over_tls_by_the_systems_roots_and_never_by_a_proxy";
    const COLLECTOR: &str = "COLLECTOR_OF_THE_TEST";
    if let Ok(endpoint) = std::env::var(COLLECTOR) {
        let spans = Spans::start(&endpoint, &Metrics::new()).unwrap();
        attempt(&spans, 1, Outcome::Unknown, None);
        spans.stop(PATIENCE);
        return;
    }
    let proxy = Receiver::start(|_| Answer::status(407));
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let answer = |_: &_| Answer::status(200);
    let trusted = Receiver::start_tls(&authority.identity(&["127.0.0.1"]), answer);
    let untrusted = Receiver::start_tls(&Authority::new().identity(&["127.0.0.1"]), answer);
    for collector in [&trusted, &untrusted] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME]).env_remove("NO_PROXY").env_remove("no_proxy");
        for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            child.env(variable, proxy.url());
        }
        child.env("SSL_CERT_FILE", &roots).env_remove("SSL_CERT_DIR").env(COLLECTOR, base(collector));
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
    assert_eq!((exported(&trusted).len(), untrusted.requests().len(), proxy.connections()), (1, 0, 0));
    assert!(untrusted.connections() > 0);
}
