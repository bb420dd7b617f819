//! Traces, for whoever collects them (OpenTelemetry, OTLP over HTTP): one span for each acceptance of an event, one for
//! each attempt, linked to it. Recording never waits: spans queue, a thread of its own exports them, and what it cannot
//! export in time is dropped and counted. Never told: bodies, headers, and of a URL anything but host and port.

mod export;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};

use crate::delivery::{Attempt, Outcome};
use crate::observe::AttemptEnded;
use crate::observe::metrics::Metrics;
use crate::time::Time;
use crate::trace::TraceContext;

/// Makes spans, or nothing where nobody collects them. Clones share their queue.
#[derive(Clone, Debug, Default)]
pub struct Spans(Option<Arc<Recorder>>);

#[derive(Debug)]
struct Recorder {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// How long the last spans may take if nobody said `stop`.
const PATIENCE: Duration = Duration::from_secs(1);
/// A sentence that is longer tells no more.
const LONGEST_DESCRIPTION: usize = 500;

impl Spans {
    /// Makes nothing.
    pub fn off() -> Self {
        Spans(None)
    }

    /// Exports to the collector at `endpoint` (`http://127.0.0.1:4318`; `/v1/traces` is added); off if that is empty.
    /// Fails with a sentence if it is no URL of a collector. Nothing is sent yet, so a collector that is not there is no
    /// failure, now or later.
    ///
    /// May be called from anywhere: the exporter has threads and a runtime of its own, and is made on one of them, as
    /// its blocking HTTP client must neither be made nor dropped where tasks run.
    ///
    /// Besides `endpoint`, OpenTelemetry's own variables count: `OTEL_EXPORTER_OTLP_HEADERS` for credentials,
    /// `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`.
    pub fn start(endpoint: &str, metrics: &Metrics) -> Result<Self, String> {
        if endpoint.is_empty() {
            return Ok(Spans::off());
        }
        let (provider, tracer) = export::start(endpoint, metrics)?;
        Ok(Spans(Some(Arc::new(Recorder { provider, tracer }))))
    }

    /// An event is being accepted, within the trace that the request for it belongs to, if any.
    pub fn accepting(&self, parent: Option<&TraceContext>, started_at: Time) -> Accepting {
        let recorder = self.0.as_ref().filter(|_| parent.is_none_or(TraceContext::is_sampled));
        let span = recorder.map(|recorder| {
            let within = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(of(parent)));
            let builder =
                SpanBuilder::from_name("enqueue").with_kind(SpanKind::Server).with_start_time(system(started_at));
            recorder.tracer.build_with_context(builder, &within)
        });
        Accepting { span, came: parent.cloned() }
    }

    /// An attempt ended. `url` is where it went, `trace` what `accepted` returned for its event; if its caller does not
    /// record that trace, no span is made.
    pub fn attempt_ended(&self, ended: &AttemptEnded<'_>, url: &str, trace: Option<&TraceContext>) {
        let Some(recorder) = &self.0 else { return };
        if trace.is_some_and(|trace| !trace.is_sampled()) {
            return;
        }
        let attempt = ended.attempt;
        let started_at = system(attempt.started_at);
        let builder = SpanBuilder::from_name(METHOD)
            .with_kind(SpanKind::Client)
            .with_start_time(started_at)
            .with_attributes(attributes(ended, url))
            .with_links(trace.map(|trace| Link::new(of(trace), Vec::new(), 0)).into_iter().collect());
        // Its own root: hours may lie between the acceptance, whose trace was complete long ago, and the last attempt.
        let mut span = recorder.tracer.build_with_context(builder, &Context::new());
        if let Some(description) = fault(&attempt.outcome) {
            span.set_status(Status::error(description.chars().take(LONGEST_DESCRIPTION).collect::<String>()));
        }
        let took = Duration::from_micros(attempt.timings.total_us);
        span.end_with_timestamp(match took.is_zero() {
            true => system(attempt.finished_at.max(attempt.started_at)),
            false => started_at + took,
        });
    }

    /// Exports what still waits, for `within` at most, and makes no more spans. Blocks that long.
    pub fn stop(&self, within: Duration) {
        if let Some(recorder) = &self.0 {
            recorder.stop(within);
        }
    }
}

/// The span of an acceptance, until it ends. One that is dropped before says that nothing was accepted.
#[must_use]
pub struct Accepting {
    span: Option<Span>,
    came: Option<TraceContext>,
}

impl Accepting {
    /// What is to be kept with the event: this span, or what came if none is made, because nobody collects them or the caller
    /// does not record its trace.
    pub fn context(&self) -> Option<TraceContext> {
        let made = self.span.as_ref().map(|span| span.span_context()).filter(|made| made.is_sampled());
        made.and_then(ours).or_else(|| self.came.clone())
    }

    /// The event is on disk.
    pub fn accepted(mut self, ended_at: Time, event: &str, event_type: &str) {
        if let Some(mut span) = self.span.take() {
            span.set_attributes([text("postrider.event.id", event), text("postrider.event.type", event_type)]);
            span.end_with_timestamp(system(ended_at));
        }
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        if let Some(span) = &mut self.span {
            span.set_status(Status::error("refused"));
        }
    }
}

impl Recorder {
    fn stop(&self, within: Duration) {
        // What is not exported by then is lost, as it would be later.
        let _ = self.provider.shutdown_with_timeout(within);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Nothing, if it was stopped before.
        self.stop(PATIENCE);
    }
}

const METHOD: &str = "POST";

/// By OpenTelemetry's semantic conventions for HTTP clients, and our own words. `url.full`, which they have too, is left
/// out: receivers' URLs may hold secrets.
fn attributes(ended: &AttemptEnded<'_>, url: &str) -> Vec<KeyValue> {
    let attempt = ended.attempt;
    let mut all = vec![
        text("http.request.method", METHOD),
        text("postrider.event.id", ended.event.as_str()),
        text("postrider.event.type", ended.event_type.as_str()),
        text("postrider.delivery.id", ended.delivery.to_string()),
        text("postrider.endpoint", ended.endpoint),
        text("postrider.profile", ended.profile.as_str()),
        KeyValue::new("postrider.attempt", i64::from(attempt.number)),
        text("postrider.outcome", attempt.outcome.name()),
    ];
    let url = url::Url::parse(url).ok();
    let address = url.as_ref().and_then(url::Url::host_str);
    all.extend(address.map(|host| text("server.address", host.trim_matches(['[', ']']))));
    let port = url.as_ref().and_then(url::Url::port_or_known_default);
    all.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
    all.extend(peer(attempt));
    if attempt.number > 1 {
        all.push(KeyValue::new("http.request.resend_count", i64::from(attempt.number - 1)));
    }
    all.extend(status(&attempt.outcome).map(|status| KeyValue::new("http.response.status_code", i64::from(status))));
    all.extend(error_type(&attempt.outcome).map(|error| text("error.type", error)));
    all
}

/// The address that was dialled.
fn peer(attempt: &Attempt) -> Vec<KeyValue> {
    let remote = attempt.remote.as_ref().and_then(|remote| remote.parse::<SocketAddr>().ok());
    let known = |remote: SocketAddr| {
        let port = KeyValue::new("network.peer.port", i64::from(remote.port()));
        vec![text("network.peer.address", remote.ip().to_string()), port]
    };
    remote.map(known).unwrap_or_default()
}

fn status(outcome: &Outcome) -> Option<u16> {
    match outcome {
        Outcome::Accepted { status, .. } | Outcome::Rejected { status } => Some(*status),
        Outcome::TimedOut { .. } | Outcome::Unreachable { .. } | Outcome::Blocked { .. } | Outcome::Unknown => None,
    }
}

/// One of few words, as the conventions want it.
fn error_type(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Accepted { .. } => None,
        Outcome::Rejected { status } => Some(status.to_string()),
        Outcome::TimedOut { .. } => Some("timeout".to_owned()),
        Outcome::Unreachable { stage, .. } => Some(format!("unreachable.{}", stage.as_str())),
        Outcome::Blocked { .. } => Some("blocked".to_owned()),
        Outcome::Unknown => Some("unknown".to_owned()),
    }
}

/// What the status of the span says; empty where the status code says it.
fn fault(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Accepted { .. } => None,
        Outcome::Rejected { .. } => Some(String::new()),
        Outcome::TimedOut { stage } => Some(format!("timed out ({})", stage.as_str())),
        Outcome::Unreachable { error, .. } => Some(error.clone()),
        Outcome::Blocked { reason } => Some(reason.clone()),
        Outcome::Unknown => Some("unknown".to_owned()),
    }
}

fn text(key: &'static str, value: impl Into<String>) -> KeyValue {
    KeyValue::new(key, value.into())
}

fn system(time: Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(time.ms()).unwrap_or(0))
}

/// As the library has it.
fn of(trace: &TraceContext) -> SpanContext {
    SpanContext::new(
        TraceId::from_hex(trace.trace_id()).unwrap_or(TraceId::INVALID),
        SpanId::from_hex(trace.parent_id()).unwrap_or(SpanId::INVALID),
        TraceFlags::new(u8::from_str_radix(trace.flags(), 16).unwrap_or_default()),
        true,
        trace.tracestate().and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default(),
    )
}

/// As we have it.
fn ours(span: &SpanContext) -> Option<TraceContext> {
    let flags = span.trace_flags().to_u8();
    // Both ids are shown with all their digits.
    let parent = format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id());
    TraceContext::parse(&parent, Some(&span.trace_state().header())).ok()
}
