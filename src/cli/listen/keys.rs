//! What a receiver knows of its sender, and what it makes of the signatures of a request.
//! Secrets come from files and variables; nothing here shows one, or what was computed with one.

use std::path::PathBuf;

use crate::cli::verify::{explained, private};
use crate::cli::wire::Request;
use crate::cli::{Exit, Failure, is_stdin, secret};
use crate::endpoint::Scheme;
use crate::signature::{self, EIP191_HEADER, HMAC_HEADER, Signed, VerifyKey, eip191};
use crate::time::{Span, Time};

/// Receivers refuse a webhook-timestamp that is further from now.
/// Source: the official standardwebhooks libraries.
const TOLERANCE: Span = Span::from_minutes(5);

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Arguments {
    /// A file with a shared secret, - for stdin: whsec_… for Standard Webhooks (v1), any other text for Ensuro (hmac);
    /// may be repeated
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// The name of an environment variable with a shared secret; may be repeated
    #[arg(long, value_name = "VARIABLE")]
    secret_env: Vec<String>,
    /// The Ethereum address of a signer (eip191); may be repeated
    #[arg(long, value_name = "0x…")]
    signer: Vec<String>,
    /// The public key of a signer (v1a); may be repeated
    #[arg(long, value_name = "whpk_…")]
    public_key: Vec<String>,
    /// Where Ensuro's signature stands, if not in its own header
    #[arg(long, value_name = "NAME")]
    signature_header: Option<String>,
}

impl Arguments {
    pub fn keys(&self) -> Result<Keys, Failure> {
        if self.secret_file.iter().filter(|path| is_stdin(path)).count() > 1 {
            return Err(Failure::new(Exit::Usage, "stdin can be one secret, not two"));
        }
        let data = |what| Failure::new(Exit::Data, what);
        let mut keys = Vec::new();
        for path in &self.secret_file {
            keys.push(shared(&secret::secret_file(path)?).map_err(data)?);
        }
        for name in &self.secret_env {
            keys.push(shared(&secret::variable(name)?).map_err(data)?);
        }
        for text in &self.signer {
            if text.trim_start_matches("0x").len() == 64 {
                return Err(private("--signer"));
            }
            keys.push(signature::read_verify_key(Scheme::Eip191, text.as_bytes()).map_err(data)?);
        }
        for text in &self.public_key {
            if text.starts_with("whsk_") {
                return Err(private("--public-key"));
            }
            keys.push(signature::read_verify_key(Scheme::V1a, text.as_bytes()).map_err(data)?);
        }
        Ok(Keys { keys, header: self.signature_header.as_ref().map(|name| name.to_ascii_lowercase()) })
    }
}

fn shared(text: &[u8]) -> Result<VerifyKey, String> {
    let scheme = if text.starts_with(b"whsec_") { Scheme::V1 } else { Scheme::Hmac };
    if text.starts_with(b"whsk_") {
        return Err("this is a private key; a receiver has the public one: --public-key whpk_…".to_owned());
    }
    signature::read_verify_key(scheme, text)
}

/// Those by which signatures are checked, in the order given.
pub struct Keys {
    keys: Vec<VerifyKey>,
    /// Under which Ensuro's signature comes, if not under its documented name.
    header: Option<String>,
}

/// One signature of a request, and what the keys make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub scheme: Scheme,
    pub finding: Finding,
    /// Who made it, as far as the signature itself tells.
    pub signer: Option<String>,
}

impl Checked {
    pub fn is_bad(&self) -> bool {
        matches!(self.finding, Finding::Bad(_))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    Good,
    /// And why.
    Bad(String),
    /// There is no key for it.
    Unchecked,
}

/// All signatures of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    pub checked: Vec<Checked>,
    /// What a receiver would stumble over, though the signature is good.
    pub warning: Option<String>,
    /// Why a receiver with these keys refuses the request; `None` if it does not, or if there is no key at all.
    pub fault: Option<String>,
}

impl Keys {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The schemes that there are keys for.
    pub fn schemes(&self) -> Vec<Scheme> {
        Scheme::ALL.into_iter().filter(|scheme| self.of(*scheme).next().is_some()).collect()
    }

    pub fn check(&self, request: &Request, now: Time) -> Signatures {
        let mut signatures = Signatures { checked: self.ensuro(request), ..Signatures::default() };
        let (standard, warning) = self.standard(request, now);
        signatures.checked.extend(standard);
        signatures.warning = warning;
        if !self.is_empty() {
            // As the official libraries do: a good signature does not make an old notification a new one.
            signatures.fault = fault(&signatures.checked).or_else(|| signatures.warning.clone());
        }
        signatures
    }

    fn ensuro(&self, request: &Request) -> Vec<Checked> {
        let names = match &self.header {
            Some(name) => vec![name.as_str()],
            None => vec![HMAC_HEADER, EIP191_HEADER],
        };
        let mut checked = Vec::new();
        for name in names {
            let texts: Vec<&str> = values(request, name);
            let Some(text) = texts.first() else { continue };
            // Under a name of the endpoint's own, its form tells which scheme it is.
            let scheme = if name == EIP191_HEADER || text.starts_with("0x") { Scheme::Eip191 } else { Scheme::Hmac };
            let scheme = if name == HMAC_HEADER { Scheme::Hmac } else { scheme };
            let signed = Signed { event_id: "", timestamp: 0, body: &request.body };
            let finding = match texts.len() {
                1 => self.finding(scheme, text, &signed),
                count => Finding::Bad(format!("the header {name} stands {count} times")),
            };
            checked.push(match scheme {
                Scheme::Eip191 => match eip191::recover(text.trim(), &request.body) {
                    Ok(signer) => Checked { scheme, finding, signer: Some(signer.to_string()) },
                    Err(mismatch) => Checked { scheme, finding: Finding::Bad(mismatch.to_string()), signer: None },
                },
                Scheme::Hmac | Scheme::V1 | Scheme::V1a => Checked { scheme, finding, signer: None },
            });
        }
        checked
    }

    fn standard(&self, request: &Request, now: Time) -> (Vec<Checked>, Option<String>) {
        let header = |name: &str| match values(request, name)[..] {
            [value] => Ok(value),
            [] => Err(format!("the header {name} is missing")),
            [..] => Err(format!("the header {name} stands more than once")),
        };
        if values(request, "webhook-signature").is_empty() {
            return (vec![], None);
        }
        let parts = header("webhook-signature").and_then(|text| {
            let id = header("webhook-id")?;
            let timestamp = header("webhook-timestamp")?.parse();
            let timestamp = timestamp.map_err(|_| "webhook-timestamp is no whole number of seconds".to_owned())?;
            Ok((text, Signed { event_id: id, timestamp, body: &request.body }))
        });
        let (text, signed) = match parts {
            Ok(parts) => parts,
            Err(why) => return (vec![Checked { scheme: Scheme::V1, finding: Finding::Bad(why), signer: None }], None),
        };
        let has = |scheme: &Scheme| text.split(' ').any(|part| part.split(',').next() == Some(scheme.as_str()));
        let mut schemes: Vec<Scheme> = [Scheme::V1, Scheme::V1a].into_iter().filter(has).collect();
        if schemes.is_empty() {
            schemes.push(Scheme::V1);
        }
        let checked = schemes.into_iter().map(|scheme| Checked {
            scheme,
            finding: self.finding(scheme, text, &signed),
            signer: None,
        });
        (checked.collect(), stale(signed.timestamp, now))
    }

    /// Good if one of the keys for the scheme finds it so.
    fn finding(&self, scheme: Scheme, text: &str, signed: &Signed) -> Finding {
        let mut finding = Finding::Unchecked;
        for key in self.of(scheme) {
            match signature::verify(key, text, signed) {
                Ok(()) => return Finding::Good,
                Err(mismatch) => finding = Finding::Bad(explained(&mismatch, key, text.trim(), signed)),
            }
        }
        finding
    }

    fn of(&self, scheme: Scheme) -> impl Iterator<Item = &VerifyKey> {
        self.keys.iter().filter(move |key| scheme_of(key) == scheme)
    }
}

const fn scheme_of(key: &VerifyKey) -> Scheme {
    match key {
        VerifyKey::Hmac(_) => Scheme::Hmac,
        VerifyKey::Eip191(_) => Scheme::Eip191,
        VerifyKey::V1(_) => Scheme::V1,
        VerifyKey::V1a(_) => Scheme::V1a,
    }
}

fn values<'a>(request: &'a Request, name: &str) -> Vec<&'a str> {
    let named = request.headers.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}

/// A receiver with a key takes what has a good signature and no bad one.
fn fault(checked: &[Checked]) -> Option<String> {
    for one in checked {
        match &one.finding {
            Finding::Bad(why) => return Some(format!("the {} signature is not good: {why}", one.scheme)),
            Finding::Good | Finding::Unchecked => {}
        }
    }
    match checked.iter().any(|one| one.finding == Finding::Good) {
        true => None,
        false if checked.is_empty() => Some("it is not signed".to_owned()),
        false => Some("none of its signatures is of a scheme that a key was given for".to_owned()),
    }
}

/// A warning if receivers would refuse the timestamp.
fn stale(timestamp: i64, now: Time) -> Option<String> {
    let age = now.since(Time::from_ms(timestamp.saturating_mul(1000)));
    let (distance, direction) = match age < Span::ZERO {
        true => (Span::from_ms(age.ms().saturating_neg()), "ahead"),
        false => (age, "old"),
    };
    (distance > TOLERANCE)
        .then(|| format!("webhook-timestamp is {distance} {direction}: receivers refuse more than {TOLERANCE}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Key;

    const NOW: Time = Time::from_ms(1_793_491_200_000);
    const BODY: &[u8] = b"{\"a\": 1}";

    fn key(scheme: Scheme) -> Key {
        let text: &[u8] = match scheme {
            Scheme::Hmac => b"topsecret",
            Scheme::Eip191 => b"0000000000000000000000000000000000000000000000000000000000000001",
            Scheme::V1 => b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            Scheme::V1a => b"whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        };
        signature::read_key(scheme, text).unwrap()
    }

    fn keys(schemes: &[Scheme]) -> Keys {
        Keys { keys: schemes.iter().map(|scheme| signature::verify_key_of(&key(*scheme))).collect(), header: None }
    }

    /// Signed with these.
    fn request(schemes: &[Scheme], body: &[u8], at: Time) -> Request {
        let keys: Vec<Key> = schemes.iter().map(|scheme| key(*scheme)).collect();
        let signed = Signed { event_id: "msg_1", timestamp: at.unix_seconds(), body: BODY };
        let headers = signature::headers(&keys, &signed, None);
        Request { method: "POST".into(), path: "/".into(), headers, body: body.to_vec(), keeps_alive: true, room: None }
    }

    #[test]
    fn each_scheme_is_good_with_its_key_and_bad_over_another_body() {
        for scheme in Scheme::ALL {
            let good = keys(&[scheme]).check(&request(&[scheme], BODY, NOW), NOW);
            assert_eq!((good.checked[0].scheme, &good.checked[0].finding), (scheme, &Finding::Good), "{scheme}");
            assert_eq!((good.fault, good.warning), (None, None));
            let bad = keys(&[scheme]).check(&request(&[scheme], b"{\"a\":1}", NOW), NOW);
            assert!(matches!(bad.checked[0].finding, Finding::Bad(_)), "{scheme}");
            assert!(bad.fault.is_some());
            let unknown = keys(&[]).check(&request(&[scheme], BODY, NOW), NOW);
            assert_eq!((&unknown.checked[0].finding, unknown.fault), (&Finding::Unchecked, None), "{scheme}");
            let unsigned = keys(&[scheme]).check(&request(&[], BODY, NOW), NOW);
            assert_eq!(unsigned.fault.as_deref(), Some("it is not signed"));
        }
    }

    #[test]
    fn a_signer_is_told_without_a_key_too() {
        let told = keys(&[]).check(&request(&[Scheme::Eip191], BODY, NOW), NOW);
        assert_eq!(told.checked[0].signer.as_deref(), Some("0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"));
    }

    #[test]
    fn what_has_a_signature_of_another_scheme_only_is_refused() {
        let other = keys(&[Scheme::Hmac]).check(&request(&[Scheme::V1], BODY, NOW), NOW);
        assert!(other.fault.unwrap().contains("of a scheme that a key was given for"));
        let both = keys(&[Scheme::V1a]).check(&request(&[Scheme::V1, Scheme::V1a], BODY, NOW), NOW);
        let findings: Vec<&Finding> = both.checked.iter().map(|one| &one.finding).collect();
        assert_eq!((findings, both.fault), (vec![&Finding::Unchecked, &Finding::Good], None));
    }

    #[test]
    fn a_timestamp_far_from_now_is_refused_and_a_newline_too_many_is_found() {
        let late = request(&[Scheme::V1], BODY, NOW - Span::from_minutes(6));
        let told = keys(&[Scheme::V1]).check(&late, NOW);
        assert_eq!(told.warning.as_deref(), Some("webhook-timestamp is 6 min old: receivers refuse more than 5 min"));
        assert_eq!(told.fault, told.warning);
        assert_eq!(keys(&[]).check(&late, NOW).fault, None);
        let early = request(&[Scheme::V1], BODY, NOW + Span::from_minutes(6));
        assert!(keys(&[Scheme::V1]).check(&early, NOW).warning.unwrap().contains("6 min ahead"));
        let longer = request(&[Scheme::Hmac], b"{\"a\": 1}\n", NOW);
        let why = keys(&[Scheme::Hmac]).check(&longer, NOW).fault.unwrap();
        assert!(why.contains("without the newline at its end"), "{why}");
    }

    #[test]
    fn standard_webhooks_need_all_their_headers() {
        for missing in ["webhook-id", "webhook-timestamp"] {
            let mut request = request(&[Scheme::V1], BODY, NOW);
            request.headers.retain(|(name, _)| name != missing);
            let why = keys(&[Scheme::V1]).check(&request, NOW).fault.unwrap();
            assert!(why.ends_with(&format!("the header {missing} is missing")), "{why}");
        }
        let mut twice = request(&[Scheme::Hmac], BODY, NOW);
        twice.headers.push(twice.headers[0].clone());
        assert!(keys(&[Scheme::Hmac]).check(&twice, NOW).fault.unwrap().contains("stands 2 times"));
    }

    #[test]
    fn a_signature_under_a_name_of_its_own_is_known_by_its_form() {
        for scheme in [Scheme::Hmac, Scheme::Eip191] {
            let mut request = request(&[scheme], BODY, NOW);
            request.headers[0].0 = "X-Acme".to_owned();
            let keys = Keys { header: Some("x-acme".to_owned()), ..keys(&[scheme]) };
            assert_eq!(keys.check(&request, NOW).checked[0].finding, Finding::Good, "{scheme}");
        }
    }
}
