//! The way of the spans to their collector: a bounded queue, a thread that empties it in batches, and a client that
//! knows no proxies and follows no redirects. What does not fit into the queue, or was refused, is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as Export,
    SpanProcessor,
};
use reqwest::blocking::Client;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::observe::metrics::{Lost, Metrics};
use crate::observe::{Notice, tell};

/// Spans that may wait for their export; a span takes about a kilobyte.
const QUEUE: usize = 4096;
const BATCH: usize = 512;
/// A span is exported this long after it was made at the latest, if the collector is well.
const EVERY: Duration = Duration::from_secs(2);
/// For one export, whatever is tried again included.
const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Fails with a sentence if `endpoint` is no URL of a collector.
pub(super) fn start(endpoint: &str, metrics: &Metrics) -> Result<(SdkTracerProvider, SdkTracer), String> {
    let url = traces(endpoint)?;
    let metrics = metrics.clone();
    let making = thread::Builder::new().name("spans".to_owned()).spawn(move || provider(&url, &metrics));
    let provider = making
        .map_err(|error| format!("the thread that exports spans cannot start: {error}"))?
        .join()
        .map_err(|_| "the exporter of spans cannot be set up: it panicked".to_owned())??;
    let tracer = provider.tracer_with_scope(InstrumentationScope::builder(NAME).with_version(VERSION).build());
    Ok((provider, tracer))
}

/// `http://127.0.0.1:4318` -> `http://127.0.0.1:4318/v1/traces`, as the OTLP specification adds it to a base.
fn traces(endpoint: &str) -> Result<Url, String> {
    let refuse = |why: &str| format!("the OTLP endpoint {why}; it should look like http://127.0.0.1:4318");
    let mut url = Url::parse(endpoint).map_err(|error| refuse(&format!("is no URL ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(refuse("is not reached over http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("has a user or a password, which belong into OTEL_EXPORTER_OTLP_HEADERS"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("has something behind its path"));
    }
    if !url.path().ends_with("/v1/traces") {
        url.set_path(&format!("{}/v1/traces", url.path().trim_end_matches('/')));
    }
    Ok(url)
}

/// Runs on a thread where no tasks run.
fn provider(url: &Url, metrics: &Metrics) -> Result<SdkTracerProvider, String> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client(url)?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(url.as_str())
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|error| format!("the exporter of spans cannot be set up: {error}"))?;
    let queued = Arc::new(AtomicUsize::new(0));
    let counting = Counting {
        exporter,
        queued: queued.clone(),
        metrics: metrics.clone(),
        collector: url.origin().ascii_serialization(),
        failing: AtomicBool::new(false),
    };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(EVERY)
        .build();
    let inner = BatchSpanProcessor::builder(counting).with_batch_config(batches).build();
    let resource =
        Resource::builder().with_service_name(NAME).with_attribute(KeyValue::new("service.version", VERSION)).build();
    let bounded = Bounded { inner, queued, metrics: metrics.clone() };
    Ok(SdkTracerProvider::builder().with_span_processor(bounded).with_resource(resource).build())
}

fn client(url: &Url) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls(url.scheme() == "https")?)
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| format!("the HTTP client for spans cannot be set up: {error}"))
}

/// The system's roots, or Mozilla's where the system has none; reading them is left out where nothing is verified.
fn tls(wanted: bool) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if wanted {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Lets no more spans wait than the queue holds: the library's own processor would drop the rest without saying so.
#[derive(Debug)]
struct Bounded {
    inner: BatchSpanProcessor,
    /// Made and not yet handed to the exporter: at least as many as the inner queue holds.
    queued: Arc<AtomicUsize>,
    metrics: Metrics,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let room = |queued: usize| (queued < QUEUE).then_some(queued + 1);
        match self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => self.inner.on_end(span),
            Err(_) => self.metrics.spans_dropped(Lost::QUEUE_FULL, 1),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Exports, and says once when that begins to fail.
#[derive(Debug)]
struct Counting {
    exporter: SpanExporter,
    queued: Arc<AtomicUsize>,
    metrics: Metrics,
    /// Scheme, host and port: what follows may be a token.
    collector: String,
    failing: AtomicBool,
}

impl Export for Counting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.queued.fetch_sub(spans, Ordering::Relaxed);
        let exported = self.exporter.export(batch).await;
        match &exported {
            Ok(()) => self.failing.store(false, Ordering::Relaxed),
            Err(error) => {
                self.metrics.spans_dropped(Lost::EXPORT_FAILED, spans);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    let collector = &self.collector;
                    let text = format!("spans cannot be exported to {collector} and are dropped: {error}");
                    tell(&Notice::Warning { text: &text });
                }
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_the_base_of_a_collector() {
        let whole = |endpoint: &str| traces(endpoint).map(String::from);
        for base in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"] {
            assert_eq!(whole(base).unwrap(), "http://127.0.0.1:4318/v1/traces");
        }
        assert_eq!(whole("https://otel.example/in/").unwrap(), "https://otel.example/in/v1/traces");
        for bad in [
            "127.0.0.1:4318",
            "grpc://a:4317",
            "http://",
            "http://u:TOPSECRET@a",
            "http://a?key=TOPSECRET",
            "http://a#b",
        ] {
            let refused = whole(bad).unwrap_err();
            assert!(refused.starts_with("the OTLP endpoint ") && !refused.contains("TOPSECRET"), "{bad}: {refused}");
        }
    }
}
