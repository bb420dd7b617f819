//! Who is let in, and with which words everybody else is turned away.

use std::path::Path;

use http::{HeaderName, HeaderValue};

use super::*;
use crate::endpoint::Scheme;

const BODY: &[u8] = br#"{"payout": "1"}"#;
const KEY: &str = "0x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn keys(signers: Vec<Address>) -> Keys {
    Keys {
        api_key: Secret::new(b"the-key".to_vec()),
        secret: signature::read_key(Scheme::Hmac, b"T0pS3cret").unwrap(),
        signers,
        api_key_file: PathBuf::from("/s/api-key"),
        secret_file: PathBuf::from("/s/secret"),
        octamile: None,
    }
}

fn headers(given: &[(&str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    let mut headers = HeaderMap::new();
    for (name, value) in given.iter().map(pair) {
        headers.append(name, value);
    }
    headers
}

fn hmac(body: &[u8]) -> String {
    signature::hmac::sign(b"T0pS3cret", body)
}

fn eip191(body: &[u8]) -> (Address, String) {
    let secret = eip191::read_secret(KEY.as_bytes()).unwrap();
    (eip191::address(secret.expose()), eip191::sign(secret.expose(), body))
}

#[test]
fn the_api_key_is_needed() {
    let admit =
        |given: &[(&str, &str)]| keys(vec![]).admit(&headers(given)).map_err(|denied| (denied.status, denied.text));
    assert_eq!(admit(&[("x-api-key", "the-key")]), Ok(()));
    let missing = "the header X-API-Key is missing; the key stands in /s/api-key";
    assert_eq!(admit(&[]), Err((401, missing.to_owned())));
    assert!(admit(&[("x-api-key", "the-kex")]).is_err_and(|(status, text)| status == 401 && !text.contains("the-ke")));
    assert!(admit(&[("x-api-key", "the-key"), ("x-api-key", "the-key")]).is_err_and(|(status, _)| status == 400));
}

#[test]
fn exactly_one_good_signature_is_needed() {
    let (signer, by_account) = eip191(BODY);
    let keys = keys(vec![signer]);
    let verify =
        |given: &[(&str, &str)]| keys.verify(&headers(given), BODY).map_err(|denied| (denied.status, denied.text));
    let by_secret = hmac(BODY);
    assert_eq!(verify(&[(HMAC_HEADER, &by_secret)]), Ok(()));
    assert_eq!(verify(&[(EIP191_HEADER, &by_account)]), Ok(()));
    let told = |given: &[(&str, &str)], status: u16, words: &str| {
        let (its_status, text) = verify(given).unwrap_err();
        assert!(its_status == status && text.contains(words), "{its_status} {text}");
        assert!(!text.contains(&by_secret), "{text}");
    };
    told(&[], 401, "the body is not signed; X-Ensuro-Signature is the HMAC-SHA256 of exactly the bytes that are sent");
    told(&[(HMAC_HEADER, &by_secret), (EIP191_HEADER, &by_account)], 400, "send exactly one of them");
    told(&[(HMAC_HEADER, &by_secret), (HMAC_HEADER, &by_secret)], 400, "more than once");
    told(&[(HMAC_HEADER, &by_secret[1..])], 400, "X-Ensuro-Signature is malformed: an hmac signature is 64 lower-case");
    told(&[(HMAC_HEADER, &format!("0x{by_secret}"))], 400, "without 0x");
    told(&[(HMAC_HEADER, &by_secret.to_uppercase())], 400, "lower-case");
    told(&[(HMAC_HEADER, &hmac(br#"{"payout":"1"}"#))], 401, "the bytes it covers were others");
    told(&[(EIP191_HEADER, &by_account[2..])], 400, "X-EIP191-Signature is malformed");
    told(&[(EIP191_HEADER, &eip191(b"other").1)], 401, "which is no authorised signer");
}

#[test]
fn an_account_that_is_not_authorised_is_named() {
    let (signer, by_account) = eip191(BODY);
    let denied = keys(vec![]).verify(&headers(&[(EIP191_HEADER, &by_account)]), BODY).unwrap_err();
    assert!(denied.status == 401 && denied.text.contains(&format!("--signer {signer}")), "{denied:?}");
}

#[test]
fn octamile_knows_anybody_unless_it_was_told_whom() {
    let given = |id: &str, authorization: &str, key: &str| Credentials {
        id: Some(id.to_owned()),
        authorization_id: Some(authorization.to_owned()),
        key: Some(key.to_owned()),
    };
    assert!(keys(vec![]).knows(&Credentials::default()));
    let auth = OctamileAuth::read(br#"{"id": "p", "athrzt": {"id": "a", "key": "k"}}"#).unwrap();
    let strict = Keys { octamile: Some(auth), ..keys(vec![]) };
    assert!(strict.knows(&given("p", "a", "k")));
    for other in [given("x", "a", "k"), given("p", "x", "k"), given("p", "a", "x"), Credentials::default()] {
        assert!(!strict.knows(&other), "{other:?}");
    }
    for bad in ["", "{}", r#"{"id": "secret-id"}"#] {
        let said = OctamileAuth::read(bad.as_bytes()).unwrap_err();
        assert!(said.contains("athrzt") && !said.contains("secret-id"), "{said}");
    }
}

#[test]
fn a_key_is_made_once_and_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let made = kept(&path).unwrap();
    assert!(made.len() == 65 && made[..64].iter().all(u8::is_ascii_hexdigit));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(*kept(&path).unwrap(), *made);
    assert!(kept(Path::new("/nowhere/at/all")).unwrap_err().contains("cannot be used"));
    assert!(!format!("{:?}", keys(vec![])).contains("the-key"));
}
