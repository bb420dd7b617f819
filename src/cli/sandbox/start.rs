//! Starting a sandbox: its flags become a `Setup`, its keys stand in files, and what happens in it is shown line by line.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::calendar::rfc3339;
use crate::cli::output::{self, Tint, note, terminal, tinted};
use crate::cli::secret::secret_file;
use crate::cli::workbench::with_allowed_addresses;
use crate::cli::{Context, Exit, Failure, read, shown, span};
use crate::daemon::Ended;
use crate::endpoint::{Key, Scheme, Secret};
use crate::observe;
use crate::operations::look::redacted;
use crate::provider::ensuro::policy::Amount;
use crate::sandbox::keys::{self, Keys, OctamileAuth};
use crate::sandbox::octamile::File;
use crate::sandbox::tell::{Happening, Mood, Tell};
use crate::sandbox::world::Decide;
use crate::sandbox::{self, Setup};
use crate::signature::{self, eip191};
use crate::time::{Span, Time};

#[derive(Debug, clap::Args)]
// Within the verb's arguments, whose group has this name too.
#[group(skip)]
pub struct Arguments {
    /// Where to listen; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8790", value_parser = here)]
    listen: SocketAddr,
    /// Where policies and what is owed are kept, made if it is not there; if nothing is said, in a temporary folder that
    /// is removed at the end
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The URL that Ensuro's notifications go to
    #[arg(long, value_name = "URL")]
    notify: Option<String>,
    /// A file with the API key that X-API-Key must hold, - for stdin; if nothing is said, one is made in the folder
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// A file with the shared secret of X-Ensuro-Signature, both ways; if nothing is said, one is made in the folder
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// A file with an Ethereum private key: notifications are signed with it, by X-EIP191-Signature
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The Ethereum address of an account that may sign requests by X-EIP191-Signature; may be given again
    #[arg(long = "signer", value_name = "0x...")]
    signers: Vec<String>,
    /// How long Ensuro's requests are queued, as on a chain
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span)]
    delay: Span,
    /// The most that a policy may pay
    #[arg(long, value_name = "AMOUNT", default_value = "10000", value_parser = Amount::parse)]
    max_payout: Amount,
    /// The longest that a policy may last
    #[arg(long, value_name = "TIME", default_value = "365days", value_parser = span)]
    max_duration: Span,
    /// Approve Octamile's requests that nobody decided by then [default: after 30s]
    #[arg(long, value_name = "TIME", value_parser = span, conflicts_with_all = ["decline_after", "by_hand"])]
    approve_after: Option<Span>,
    /// Decline Octamile's requests that nobody decided by then
    #[arg(long, value_name = "TIME", value_parser = span, conflicts_with = "by_hand")]
    decline_after: Option<Span>,
    /// Octamile's requests wait for `sandbox approve` and `sandbox decline`
    #[arg(long)]
    by_hand: bool,
    /// The certificate of every approval, a jpg, png or pdf; if nothing is said, a PDF is made up for each
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// A file with what userInfo must be, as JSON; if nothing is said, Octamile's side takes anybody
    #[arg(long, value_name = "FILE")]
    octamile_auth_file: Option<PathBuf>,
    /// Say nothing of what happens
    #[arg(long, short)]
    quiet: bool,
    /// Write the daemon's log to stderr too
    #[arg(long)]
    log: bool,
}

/// Octamile's own test mode approves by itself; here there is time to decline.
const APPROVED_AFTER: Span = Span::from_seconds(30);

fn here(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "an address is written 127.0.0.1:8790, with the port".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("a sandbox listens on this machine only: 127.0.0.1 or [::1]".to_owned()),
    }
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    if arguments.log {
        observe::start(context.loaded.config.log.format, context.loaded.config.log.level);
    }
    let folder = Folder::of(arguments.folder.as_deref())?;
    let setup = setup(&arguments, folder.path(), context)?;
    setup
        .receiver()
        .map_err(with_allowed_addresses)
        .map_err(|failure| Failure { message: format!("--notify: {}", failure.message), ..failure })?;
    let tell = teller(&arguments, context, &setup);
    let ended = sandbox::run(setup, tell);
    folder.close();
    match ended? {
        Ended::Drained => Ok(Exit::Done),
        Ended::AtOnce => {
            note("stopped at once; what was in flight is tried again if its folder was kept");
            Ok(Exit::No)
        }
    }
}

/// Where a sandbox keeps what it knows.
enum Folder {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Folder {
    fn of(wished: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = wished else {
            let made = tempfile::Builder::new().prefix("postrider-sandbox-").tempdir().map_err(|error| {
                let place = std::env::temp_dir();
                Failure::new(Exit::Io, format!("no folder can be made in {} (see TMPDIR): {error}", place.display()))
            });
            return made.map(Folder::Temporary);
        };
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Io, format!("the folder {} cannot be used: {error}", shown(path)))
        };
        match path.is_dir() {
            true => {}
            false => DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?,
        }
        // For the commands that are shown, wherever they are pasted.
        path.canonicalize().map(Folder::Kept).map_err(failed)
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Kept(path) => path,
            Folder::Temporary(folder) => folder.path(),
        }
    }

    fn close(self) {
        if let Folder::Temporary(folder) = self {
            let path = shown(folder.path());
            if let Err(error) = folder.close() {
                note(&format!("sandbox: the temporary folder {path} could not be removed: {error}"));
            }
        }
    }
}

fn setup(arguments: &Arguments, folder: &Path, context: &Context) -> Result<Setup, Failure> {
    let data = |text: String| Failure::new(Exit::Data, text);
    let io = |text: String| Failure::new(Exit::Io, text);
    let own = |name: &str| folder.join(name);
    let (api_key_file, api_key) = match &arguments.api_key_file {
        Some(path) => (path.clone(), secret_file(path)?),
        None => (own("api-key"), keys::kept(&own("api-key")).map_err(io)?),
    };
    let (secret_path, secret) = match &arguments.secret_file {
        Some(path) => (path.clone(), secret_file(path)?),
        None => (own("secret"), keys::kept(&own("secret")).map_err(io)?),
    };
    let secret = signature::read_key(Scheme::Hmac, &secret).map_err(data)?;
    let signs = match &arguments.key_file {
        Some(path) => signature::read_key(Scheme::Eip191, &secret_file(path)?).map_err(data)?,
        None => Key { scheme: secret.scheme, secret: secret.secret.clone(), until: None },
    };
    let api_key = api_key.trim_ascii().to_vec();
    if api_key.is_empty() {
        return Err(data(format!("{} holds no API key", shown(&api_key_file))));
    }
    let octamile = arguments
        .octamile_auth_file
        .as_deref()
        .map(|path| OctamileAuth::read(&secret_file(path)?).map_err(|what| data(format!("{}: {what}", shown(path)))));
    let keys = Keys {
        api_key: Secret::new(api_key),
        secret,
        signers: arguments.signers.iter().map(|text| signer(text)).collect::<Result<_, _>>()?,
        api_key_file,
        secret_file: secret_path,
        octamile: octamile.transpose()?,
    };
    let decide = match (arguments.by_hand, arguments.decline_after, arguments.approve_after) {
        (true, ..) => Decide::ByHand,
        (false, Some(wait), _) => Decide::DeclineAfter { wait },
        (false, None, wait) => Decide::ApproveAfter { wait: wait.unwrap_or(APPROVED_AFTER) },
    };
    let mut setup = Setup {
        folder: folder.to_owned(),
        listen: arguments.listen,
        notify: arguments.notify.clone(),
        signs,
        keys,
        delay: arguments.delay,
        max_payout: arguments.max_payout,
        max_duration: arguments.max_duration,
        decide,
        safety: context.loaded.config.safety.clone(),
        certificate: None,
    };
    setup.certificate = arguments.certificate.as_deref().map(|path| certificate(path, &setup)).transpose()?;
    Ok(setup)
}

fn signer(text: &str) -> Result<eip191::Address, Failure> {
    let refused = |what: String| Failure::new(Exit::Data, format!("--signer: {what}"));
    // A private key would be taken for its address, and it stands in the shell's history by now.
    if text.trim_start_matches("0x").len() == 64 {
        return Err(refused(
            "this looks like a private key; give the account's address, and make a new key".to_owned(),
        ));
    }
    eip191::read_address(text.as_bytes()).map_err(refused)
}

fn certificate(path: &Path, setup: &Setup) -> Result<File, Failure> {
    let most_of_body = setup.config().store.max_body_bytes;
    // As base64, beside what else a notification holds.
    let most = most_of_body / 4 * 3 - 1024;
    let data = |text: String| Failure::new(Exit::Data, format!("--certificate {}: {text}", shown(path)));
    let bytes = read(path, most)?.ok_or_else(|| data(format!("it has more than {most} bytes")))?;
    File::of(&bytes).map_err(data)
}

/// Shows what happens: on stdout as JSON with --json, else on stderr.
fn teller(arguments: &Arguments, context: &Context, setup: &Setup) -> Tell {
    let (quiet, json) = (arguments.quiet, context.json);
    let start = Start {
        folder: setup.folder.clone(),
        is_kept: arguments.folder.is_some(),
        api_key_file: setup.keys.api_key_file.clone(),
        secret_file: setup.keys.secret_file.clone(),
        notify: arguments.notify.clone(),
        decide: setup.decide,
    };
    Arc::new(move |at, happening| match (happening, json) {
        (Happening::Listening { at: bound }, true) => {
            let mut document = happening.json(at);
            document["folder"] = start.folder.to_string_lossy().into();
            document["api_key_file"] = start.api_key_file.to_string_lossy().into();
            document["secret_file"] = start.secret_file.to_string_lossy().into();
            document["url"] = bound.to_string().into();
            // A reader that is gone has had enough.
            let _ = output::json(&document);
        }
        (Happening::Listening { at: bound }, false) => start.introduce(&bound.to_string(), at),
        (Happening::Trouble { .. }, false) => line(at, happening),
        (_, _) if quiet => {}
        (_, true) => {
            let _ = output::json(&happening.json(at));
        }
        (_, false) => line(at, happening),
    })
}

fn line(at: Time, happening: &Happening) {
    let (mood, text) = happening.line();
    let text = match mood {
        Mood::Plain => text,
        Mood::Good => tinted(Tint::Good, &text),
        Mood::Waiting => tinted(Tint::Waiting, &text),
        Mood::Bad => tinted(Tint::Bad, &text),
    };
    let at = rfc3339(at);
    note(&format!("{}  {text}", tinted(Tint::Faint, at.get(11..19).unwrap_or(&at))));
}

/// What somebody must know to begin.
struct Start {
    folder: PathBuf,
    is_kept: bool,
    api_key_file: PathBuf,
    secret_file: PathBuf,
    notify: Option<String>,
    decide: Decide,
}

impl Start {
    fn introduce(&self, url: &str, now: Time) {
        let (api_key, secret) = (shown(&self.api_key_file), shown(&self.secret_file));
        let kept = if self.is_kept { "kept" } else { "removed at the end; --folder DIR keeps one" };
        note("sandbox: http and addresses of this machine are allowed here; `postrider serve` refuses both by default");
        note(&format!("sandbox: listening on {url}; its folder is {} ({kept})", shown(&self.folder)));
        note(&format!("sandbox: the API key stands in {api_key}, the shared secret in {secret}"));
        note(&match &self.notify {
            Some(to) => format!("sandbox: Ensuro's notifications go to {}", terminal(&redacted(to))),
            None => {
                "sandbox: Ensuro's notifications go to whoever is registered here; --notify URL registers".to_owned()
            }
        });
        note(&match self.decide {
            Decide::ByHand => {
                "sandbox: Octamile's requests wait for `postrider sandbox approve ID` or `decline ID`".to_owned()
            }
            Decide::ApproveAfter { wait } => format!(
                "sandbox: Octamile's requests are approved after {wait}, unless `postrider sandbox approve ID` or `decline ID` \
                 comes first (--by-hand waits for it)"
            ),
            Decide::DeclineAfter { wait } => format!(
                "sandbox: Octamile's requests are declined after {wait}, unless `postrider sandbox approve ID` or `decline ID` \
                 comes first"
            ),
        });
        let expiration = rfc3339(now + Span::from_hours(24 * 30));
        note(&format!(
            "sandbox: a first policy:\n\n\
             body='{{\"payout\": \"190.25\", \"expiration\": \"{expiration}\", \"data\": {{}}}}'\n\
             curl -sS {url}/new-policy -H 'content-type: application/json' \\\n  \
             -H \"X-API-Key: $(cat {api_key})\" \\\n  \
             -H \"X-Ensuro-Signature: $(printf %s \"$body\" | openssl dgst -sha256 -hmac \"$(cat {secret})\" -r | cut -c1-64)\" \\\n  \
             --data-binary \"$body\"\n",
            api_key = quoted(&api_key),
            secret = quoted(&secret),
        ));
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+@%".contains(&b));
    if is_plain { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}
