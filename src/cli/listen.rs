//! `postrider listen`: a receiver for whoever writes a sender, or wants to look at what one sends.
//! Shows each request and what its signatures are worth, and answers as it is told: well, badly, late or not at all.
//! It opens no store and sends nothing, unless it is asked to hand requests on.

mod answer;
mod desk;
mod forward;
mod host;
mod keys;
mod memory;
mod report;
mod save;
mod script;
mod subject;
mod tls;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use url::Url;

use super::output::{Tint, note, terminal, tinted};
use super::wire::Limits;
use super::{Context, Exit, Failure, shown, span};
use crate::time::Span;
use desk::{Desk, End};
use forward::Target;
use script::Script;

const EXAMPLES: &str = "\
Examples:
  postrider listen
  postrider listen --secret-file acme.secret --respond 500,500,200
  postrider listen --port 0 --json --count 1 | jq -r .body
  postrider listen --forward http://127.0.0.1:8000 --save certificates
  postrider listen --signer 0x52908400098527886E0F7030069857D2E4169EE7 --respond 429:60,200@12s
  postrider listen --tls --ca-file ca.pem

Each event is known by its webhook-id, or else by its body, and begins the script of --respond anew:
with 500,500,200 each fails twice and is then accepted. The last step stays. A step is one of
";

const ENDING: &str = "

With a key, what has no good signature, or a timestamp more than five minutes off, is answered
401, and the script's step is not used up.
Exit status: 0, or 1 if a signature was bad or something came that is no request.";

const PORT: u16 = 3000;

/// Of what comes. Who keeps a connection open to send again sends within minutes.
const HEAD: usize = 64 * 1024;
const IDLE: Duration = Duration::from_secs(300);
const ARRIVAL: Duration = Duration::from_secs(60);
/// For the bodies of all connections together, and for one of the largest in any case.
const ROOM: usize = 128 * 1024 * 1024;
/// The most that --max-body may allow.
const LARGEST_BODY: u64 = 1 << 30;

#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}{}{ENDING}", script::FORMS))]
pub struct Arguments {
    /// The port on 127.0.0.1; 0 takes a free one and says which
    #[arg(long, value_name = "PORT", default_value_t = PORT, conflicts_with = "address")]
    port: u16,
    /// Where to listen, as 127.0.0.1:3000; other machines reach what is not of loopback
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    address: Option<SocketAddr>,
    #[command(flatten)]
    keys: keys::Arguments,
    /// What to answer: steps with commas between, one for each attempt of an event (see below)
    #[arg(long, value_name = "STEPS", default_value = "200", value_parser = Script::parse, conflicts_with = "forward")]
    respond: Script,
    /// Use up a step with each request, whatever event it is of
    #[arg(long, requires = "respond")]
    respond_in_order: bool,
    /// Wait before every answer whose step does not say how long
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "0s", hide_default_value = true)]
    delay: Span,
    /// Answer what has no good signature as if it had
    #[arg(long)]
    answer_anyway: bool,
    /// Hand each request on to this server, and answer what it answers; a URL with a path takes all requests there
    #[arg(long, value_name = "URL", value_parser = Target::parse)]
    forward: Option<Url>,
    /// Keep Octamile's certificates in this folder
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Show all headers
    #[arg(long)]
    headers: bool,
    /// Refuse larger bodies (413): 500kb, 32MiB
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = body_size)]
    max_body: usize,
    /// Speak HTTPS, with an authority that is made for this run
    #[arg(long)]
    tls: bool,
    /// Where to write the authority's certificate, instead of to a temporary file
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca_file: Option<PathBuf>,
    /// End after so many requests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.replace("localhost", "127.0.0.1");
    let bare = text.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    let whole = text.parse::<SocketAddr>().or(bare);
    whole.map_err(|_| "an address is written 127.0.0.1:3000 or [::1]:3000".to_owned())
}

fn body_size(text: &str) -> Result<usize, String> {
    let size = script::size(text).filter(|size| *size <= LARGEST_BODY);
    size.and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| "a size is written like 500kb or 32MiB, and is 1GiB at most".to_owned())
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let keys = arguments.keys.keys()?;
    let target = arguments.forward.clone().map(Target::new).transpose()?;
    if let Some(folder) = &arguments.save {
        save::folder(folder)?;
    }
    let runtime = runtime()?;
    let wanted = arguments.address.unwrap_or((Ipv4Addr::LOCALHOST, arguments.port).into());
    let (listener, address) = runtime.block_on(bind(wanted))?;
    if target.as_ref().is_some_and(|target| target.is(address)) {
        let text = format!("--forward leads back to {address} itself; name another server, or another port");
        return Err(Failure::new(Exit::Usage, text));
    }
    let tls = match arguments.tls {
        true => Some(tls::prepare(address.ip(), arguments.ca_file.as_deref(), context.now())?),
        false => None,
    };
    let (end, ends) = unbounded_channel();
    let desk = Arc::new(Desk {
        keys,
        answers_anyway: arguments.answer_anyway,
        script: arguments.respond,
        in_order: arguments.respond_in_order,
        delay: arguments.delay,
        target,
        save: arguments.save,
        with_headers: arguments.headers,
        as_json: context.json,
        count: arguments.count,
        limits: Limits {
            head: HEAD,
            body: arguments.max_body,
            room: Some(Arc::new(Semaphore::new(ROOM.max(arguments.max_body)))),
            idle: IDLE,
            arrival: ARRIVAL,
        },
        end,
        state: Mutex::default(),
        tally: Mutex::default(),
    });
    introduce(&desk, address, tls.as_ref());
    let acceptor = tls.as_ref().map(|tls| tls.acceptor.clone());
    let ended = runtime.block_on(until_the_end(listener, desk.clone(), acceptor, ends));
    runtime.shutdown_background();
    ended?;
    Ok(summary(&desk))
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Io, format!("the receiver's threads cannot start: {error}")))
}

async fn bind(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let refused = |error: std::io::Error| match error.kind() {
        ErrorKind::AddrInUse => {
            let text = format!("another process listens on {wanted} already; --port 0 takes a free port");
            Failure::new(Exit::Busy, text)
        }
        _ => Failure::new(Exit::Io, format!("{wanted} cannot be listened on: {error}")),
    };
    let listener = TcpListener::bind(wanted).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// Until as many requests are answered as were asked for, or a signal comes.
async fn until_the_end(
    listener: TcpListener,
    desk: Arc<Desk>,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    mut ends: UnboundedReceiver<End>,
) -> Result<(), Failure> {
    let unhandled = |error| Failure::new(Exit::Io, format!("signals cannot be handled: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unhandled)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unhandled)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(unhandled)?;
    tokio::select! {
        () = host::serve(listener, desk, acceptor) => Ok(()),
        end = ends.recv() => match end {
            Some(End::Failed(failure)) => Err(failure),
            Some(End::Counted) | None => Ok(()),
        },
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

fn introduce(desk: &Desk, address: SocketAddr, tls: Option<&tls::Tls>) {
    let scheme = if tls.is_some() { "https" } else { "http" };
    note(&format!("listening on {scheme}://{address}; Ctrl-C ends it"));
    if !address.ip().is_loopback() {
        let text = "warning: other machines reach this address too, and whatever they send is taken";
        note(&tinted(Tint::Bad, text));
    }
    if let Some(tls) = tls {
        let file = shown(&tls.ca_file);
        note(&format!(
            "this run's authority is {file}: trust it by `curl --cacert {file}`, `postrider mock --ca {file}`"
        ));
        note(&format!("or the setting safety.extra_roots_file (POSTRIDER_SAFETY_EXTRA_ROOTS_FILE={file})"));
    }
    match &desk.target {
        Some(target) => note(&format!("every request is handed on to {}", terminal(target.url.as_str()))),
        None if desk.script.is_constant() => note(&format!("every request is answered {}", desk.script)),
        None if desk.in_order => note(&format!("requests are answered {}; the last one stays", desk.script)),
        None => note(&format!("attempts of each event are answered {}; the last one stays", desk.script)),
    }
    let schemes: Vec<&str> = desk.keys.schemes().iter().map(|scheme| scheme.as_str()).collect();
    match (schemes.is_empty(), desk.answers_anyway) {
        (true, _) => note("signatures are not checked: no key was given (--secret-file, --signer, --public-key)"),
        (false, false) => {
            note(&format!("signatures are checked ({}); what has no good one is answered 401", schemes.join(", ")));
        }
        (false, true) => note(&format!("signatures are checked ({}), and all is answered", schemes.join(", "))),
    }
}

/// The last word, and whether all was well.
fn summary(desk: &Desk) -> Exit {
    let tally = desk.tally();
    let mut text = match tally.met {
        1 => "1 request".to_owned(),
        met => format!("{met} requests"),
    };
    if !desk.keys.is_empty() {
        text.push_str(&format!(": {} with a good signature, {} without", tally.met - tally.bad, tally.bad));
    }
    if tally.misread > 0 {
        text.push_str(&format!("; {} that were no request", tally.misread));
    }
    note(&text);
    if tally.bad == 0 && tally.misread == 0 { Exit::Done } else { Exit::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_its_port() {
        assert_eq!(address("127.0.0.1:0"), Ok("127.0.0.1:0".parse().unwrap()));
        assert_eq!(address("localhost:81"), Ok("127.0.0.1:81".parse().unwrap()));
        assert_eq!(address("[::1]"), Ok("[::1]:3000".parse().unwrap()));
        assert_eq!(address("0.0.0.0"), Ok("0.0.0.0:3000".parse().unwrap()));
        for bad in ["", "a.example:80", "127.0.0.1:99999", ":3000"] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }
}
