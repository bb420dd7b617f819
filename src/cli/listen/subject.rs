//! What a request is about: whose notification it is, by its fields and headers, and whether it is one as the provider's
//! document has them. The rules are those that the sender's side goes by; nothing of a body is believed here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::cli::wire::Request;
use crate::endpoint::ProfileName;
use crate::event::EventType;
use crate::provider::octamile::certificate::Kind;
use crate::provider::{self, ensuro};
use crate::signature::{EIP191_HEADER, HMAC_HEADER};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// `None` if it is nobody's that is known here.
    pub profile: Option<ProfileName>,
    pub event_type: Option<String>,
    /// Standard Webhooks name their events.
    pub id: Option<String>,
    /// What breaks the provider's payload rules.
    pub problem: Option<String>,
    /// What a receiver may stumble over.
    pub warnings: Vec<String>,
    pub certificate: Option<Certificate>,
}

/// Octamile's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// By its first bytes, whatever the sender calls it.
    pub kind: Option<Kind>,
    pub bytes: Vec<u8>,
    /// Whose certificate it is; as the sender wrote it.
    pub transaction: String,
}

pub fn of(request: &Request) -> Subject {
    let fields: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let id = request.header("webhook-id").map(str::to_owned);
    let names_type = text("type").is_some_and(|name| ensuro::TYPES.contains(&name) || name.starts_with("policy/"));
    let is_ensuro = names_type || [HMAC_HEADER, EIP191_HEADER].iter().any(|name| request.header(name).is_some());
    if fields.get("trnsctnId").is_some() && (fields.get("status").is_some() || fields.get("crtfct").is_some()) {
        return Subject { id, certificate: certificate(&fields), ..known(ProfileName::Octamile, request, None) };
    }
    if is_ensuro {
        return Subject { id, ..known(ProfileName::Ensuro, request, text("type")) };
    }
    if id.is_some() || request.header("webhook-signature").is_some() {
        return Subject { id, ..known(ProfileName::Standard, request, text("type")) };
    }
    Subject { event_type: text("type").map(str::to_owned), ..Subject::default() }
}

fn known(profile: ProfileName, request: &Request, named: Option<&str>) -> Subject {
    let of_body = provider::type_of_body(profile, &request.body);
    let named = of_body.as_ref().map(EventType::as_str).or(named);
    let event_type = named.and_then(|name| EventType::parse(name).ok());
    let checked = match (&event_type, profile) {
        (Some(event_type), _) => provider::check(profile, event_type, &request.body),
        // Any type will do: none is asked for.
        (None, ProfileName::Standard) => {
            provider::check(profile, &EventType::parse("any").expect("a type"), &request.body)
        }
        (None, ProfileName::Ensuro) => Err("the body is no JSON object with a type, as Ensuro's are".to_owned()),
        (None, ProfileName::Octamile) => Err("status must be \"a\" or \"d\"".to_owned()),
    };
    let (problem, mut warnings) = match checked {
        Ok(checked) => (None, checked.warnings),
        Err(problem) => (Some(problem), vec![]),
    };
    warnings.extend(other_content_type(profile, request));
    let event_type = named.map(str::to_owned);
    Subject { profile: Some(profile), event_type, problem, warnings, ..Subject::default() }
}

/// Receivers read a body by its content type: of another one, frameworks hand them nothing.
fn other_content_type(profile: ProfileName, request: &Request) -> Option<String> {
    let expected = provider::profile(profile).fixed_content_type?;
    let found = request.header("content-type").unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    (!essence.eq_ignore_ascii_case(expected)).then(|| {
        let found = if found.is_empty() { "missing" } else { found };
        format!("the content type is {found}: {profile}'s is {expected}, and receivers leave others unread")
    })
}

fn certificate(fields: &Value) -> Option<Certificate> {
    let bytes = STANDARD.decode(fields["crtfct"].as_str()?).ok().filter(|bytes| !bytes.is_empty())?;
    let transaction = fields["trnsctnId"].as_str().unwrap_or_default().to_owned();
    Some(Certificate { kind: Kind::of(&bytes), bytes, transaction })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)], body: &str) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Request { method: "POST".into(), path: "/".into(), headers, body: body.into(), keeps_alive: true, room: None }
    }

    #[test]
    fn a_body_is_known_by_its_fields() {
        let failed = r#"{"type": "policy/creation/failed", "data": {"quote": {}}, "error_detail": "x"}"#;
        let subject = of(&request(&[], failed));
        assert_eq!(subject.profile, Some(ProfileName::Ensuro));
        assert_eq!(subject.event_type.as_deref(), Some("policy/creation/failed"));
        let subject = of(&request(&[], r#"{"type": "policy/creatoin"}"#));
        assert!(subject.problem.unwrap().contains("is policy/creation meant?"));
        let subject = of(&request(&[("X-Ensuro-Signature", "x")], "[]"));
        assert_eq!((subject.profile, subject.problem.is_some()), (Some(ProfileName::Ensuro), true));
        let subject = of(&request(&[("webhook-id", "msg_1")], r#"{"type": "order.paid"}"#));
        let expected = (Some(ProfileName::Standard), Some("order.paid"), Some("msg_1"));
        assert_eq!((subject.profile, subject.event_type.as_deref(), subject.id.as_deref()), expected);
        assert_eq!(subject.problem, None);
        assert_eq!(of(&request(&[], "no JSON")), Subject::default());
        let warned = |content_type| of(&request(&[("Content-Type", content_type)], failed)).warnings;
        assert_eq!(warned("Application/JSON; charset=utf-8"), Vec::<String>::new());
        assert!(warned("text/plain")[0].starts_with("the content type is text/plain: ensuro's is application/json"));
    }

    #[test]
    fn a_certificate_is_what_it_begins_as() {
        let body = r#"{"trnsctnId": "../x", "status": "a", "crtfct": "iVBORw0KGgo=", "crtfctType": "pdf"}"#;
        let subject = of(&request(&[], body));
        let certificate = subject.certificate.unwrap();
        assert_eq!((certificate.kind, certificate.bytes.len()), (Some(Kind::Png), 8));
        assert_eq!(subject.event_type.as_deref(), Some("policy/approved"));
        assert!(subject.problem.is_some());
        for none in [r#"{"trnsctnId": "x", "status": "a", "crtfct": "?"}"#, r#"{"trnsctnId": 1, "status": 2}"#] {
            let subject = of(&request(&[], none));
            assert_eq!((subject.profile, subject.certificate), (Some(ProfileName::Octamile), None));
            assert!(subject.problem.is_some());
        }
    }
}
