use super::*;

const SIGNED: Signed =
    Signed { event_id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: 1_614_265_330, body: b"{\"test\": 2432232314}" };
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The seed 00 01 02 ... 1f with its public key.
const WHSK: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==";
const WHPK: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
const PRIVATE: &str = "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
const ADDRESS: &str = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23";
const ONE: &str = "0x0000000000000000000000000000000000000000000000000000000000000001";

fn key(scheme: Scheme, text: &str) -> Key {
    read_key(scheme, text.as_bytes()).unwrap()
}

fn over(body: &[u8]) -> Signed<'_> {
    Signed { event_id: "evt_1", timestamp: 1, body }
}

/// The one signature that a key makes of a body, in the header's form.
fn signature(key: &Key, signed: &Signed) -> String {
    headers(std::slice::from_ref(key), signed, None).pop().unwrap().1
}

#[test]
fn hmac_gives_the_published_vectors() {
    let vectors: [(&str, &[u8], &str); 2] = [
        ("topsecret", b"{\"foo\":\"bar\"}", "41deed7140512b0d351a588d05bff44dfdc58a6a038b47edf4f5e944dd1185d6"),
        ("T0pS3cret", b"hello world", "500f38dc7f0b1b86b6911e95cb1ad56bb13409937302e1c0f31f5ab1c397d5b6"),
    ];
    for (secret, body, expected) in vectors {
        let key = key(Scheme::Hmac, secret);
        assert_eq!(signature(&key, &over(body)), expected);
        assert_eq!(verify(&verify_key_of(&key), expected, &over(body)), Ok(()));
        assert_eq!(verify(&verify_key_of(&key), expected, &over(b"other")), Err(Mismatch::Different));
    }
}

/// Source: test suites of the official Standard Webhooks libraries.
#[test]
fn v1_gives_the_published_vector() {
    let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let key = key(Scheme::V1, WHSEC);
    assert_eq!(signature(&key, &SIGNED), expected);
    assert_eq!(verify(&verify_key_of(&key), expected, &SIGNED), Ok(()));
    for other in [
        Signed { timestamp: 1_614_265_331, ..SIGNED },
        Signed { event_id: "msg_other", ..SIGNED },
        Signed { body: b"{}", ..SIGNED },
    ] {
        assert_eq!(verify(&verify_key_of(&key), expected, &other), Err(Mismatch::Different));
    }
}

/// The signatures were made with eth-account 0.14 (encode_defunct over the hex digest).
#[test]
fn eip191_gives_the_bytes_of_eth_account() {
    let third = "c99ac6abf578a31280ed773fbfef260e8c1ca0f4c51a9beb3d1b0bbe7539c2af";
    let vectors: [(&str, &str, &[u8], &str); 3] = [
        (
            PRIVATE,
            ADDRESS,
            b"{\"foo\":\"bar\"}",
            "0x91650bf0a41e8befae1f86d6315da54fc2487c00dbb7c9a92381091231e1ab894a3f73b9fd248ff39da597c01d7e20ff18fec064c69b9e0aa5d9540ef32e9d3b1c",
        ),
        (
            ONE,
            "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf",
            b"hello world",
            "0xedacd044341ba3339cba646f5a72a1e29f2975a4016f4229ddfc493e89842e9b7cbeeffc957b541c71e3d3f38a24a99e8fde5f106b141a2455352f949645c5861b",
        ),
        (
            third,
            "0xCE8A212F519b05542964100CD58c93FA02579137",
            b"{\"type\":\"policy/creation\"}",
            "0xeb96abedd5d0303289e56f98b691f5d88a23254ec5c06f19e3b86b5c01dec15a11136cb0e820c3ffeff66cadfa263be6374db0bc2ed321309442d08913bbbbf61b",
        ),
    ];
    for (private, address, body, expected) in vectors {
        let key = key(Scheme::Eip191, private);
        assert_eq!(public_of(&key).as_deref(), Some(address));
        assert_eq!(signature(&key, &over(body)), expected);
        assert_eq!(eip191::recover(expected, body).unwrap().to_string(), address);
    }
}

#[test]
fn eip191_signatures_are_low_s_and_recover_to_their_own_address() {
    let key = key(Scheme::Eip191, PRIVATE);
    let verifier = read_verify_key(Scheme::Eip191, ADDRESS.as_bytes()).unwrap();
    let half_order = "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0";
    let mut endings = std::collections::BTreeSet::new();
    for number in 0..64 {
        let body = format!("{{\"number\":{number}}}");
        let text = signature(&key, &over(body.as_bytes()));
        assert_eq!(text.len(), 132);
        assert!(&text[66..130] <= half_order, "{text}");
        endings.insert(text[130..].to_owned());
        assert_eq!(verify(&verifier, &text, &over(body.as_bytes())), Ok(()));
    }
    assert_eq!(endings.into_iter().collect::<Vec<_>>(), ["1b", "1c"]);
}

#[test]
fn eip191_names_who_signed_instead() {
    let verifier = read_verify_key(Scheme::Eip191, ONE.as_bytes()).unwrap();
    let text = signature(&key(Scheme::Eip191, PRIVATE), &over(b"hello world"));
    let mismatch = verify(&verifier, &text, &over(b"hello world")).unwrap_err();
    assert_eq!(
        mismatch.to_string(),
        format!(
            "it recovers to {ADDRESS}, not to 0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf: another key, or other bytes \
             were signed"
        )
    );
}

#[test]
fn eip191_refuses_other_forms() {
    let verifier = read_verify_key(Scheme::Eip191, ADDRESS.as_bytes()).unwrap();
    let good = signature(&key(Scheme::Eip191, PRIVATE), &over(b"hello world"));
    // The same signature with s mirrored and v flipped, as a malleable one would be.
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let mirrored = subtract(&unhex(order.as_bytes()).unwrap(), &unhex(&good.as_bytes()[66..130]).unwrap());
    let flipped = if good.ends_with("1b") { "1c" } else { "1b" };
    let high_s = format!("{}{}{flipped}", &good[..66], hex(&mirrored));
    let zero_v = format!("{}00", &good[..130]);
    let zero_r = format!("0x{}{}", "0".repeat(64), &good[66..]);
    for bad in ["", "0x", &good[2..], &good[..130], &high_s, &zero_v, &zero_r, &good.replace("0x", "0xg")] {
        let mismatch = verify(&verifier, bad, &over(b"hello world"));
        assert!(matches!(mismatch, Err(Mismatch::Unreadable(_))), "{bad} {mismatch:?}");
    }
}

fn subtract(from: &[u8], what: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut bytes: Vec<u8> = Vec::new();
    for (a, b) in from.iter().zip(what).rev() {
        let difference = i16::from(*a) - i16::from(*b) - borrow;
        borrow = i16::from(difference < 0);
        bytes.insert(0, difference.rem_euclid(256) as u8);
    }
    bytes
}

/// Source: RFC 8032 section 7.1 (the keys of tests 1 and 2), and a signature made with PyNaCl.
#[test]
fn ed25519_gives_the_published_keys_and_another_librarys_signature() {
    let pairs = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        ),
    ];
    for (seed, public) in pairs {
        assert_eq!(hex(&ed25519::public(&unhex(seed.as_bytes()).unwrap())), public);
    }
    let expected = "v1a,yoUrgEkc12aGqm0n4Sydmdz55xJfTz4AsAgieHFjmkR7LJtqVCZOQYzvvHjI5kAey+r4iaBGxTFRrl2iBQxtDQ==";
    let key = key(Scheme::V1a, WHSK);
    assert_eq!(signature(&key, &SIGNED), expected);
    assert_eq!(public_of(&key).as_deref(), Some(WHPK));
    for text in [WHPK, WHSK] {
        let verifier = read_verify_key(Scheme::V1a, text.as_bytes()).unwrap();
        assert_eq!(verify(&verifier, expected, &SIGNED), Ok(()));
        assert_eq!(verify(&verifier, expected, &Signed { timestamp: 1, ..SIGNED }), Err(Mismatch::Different));
    }
}

#[test]
fn ensuros_header_holds_the_newest_keys_signature_alone() {
    let keys = [key(Scheme::Hmac, "new"), key(Scheme::Hmac, "old")];
    let newest = hmac::sign(b"new", b"x");
    let sent = headers(&keys, &over(b"x"), None);
    assert_eq!(sent, [("x-ensuro-signature".to_owned(), newest.clone())]);
    assert_eq!(headers(&keys, &over(b"x"), Some("X-My-Signature")), [("x-my-signature".to_owned(), newest)]);
    let sent = headers(&[key(Scheme::Eip191, PRIVATE)], &over(b"x"), None);
    assert_eq!((sent.len(), sent[0].0.as_str()), (1, "x-eip191-signature"));
    assert_eq!(headers(&[], &over(b"x"), None), []);
}

#[test]
fn the_standard_header_holds_all_signatures_with_single_spaces() {
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let keys = [key(Scheme::V1a, WHSK), key(Scheme::V1, WHSEC), key(Scheme::V1, other)];
    let sent = headers(&keys, &SIGNED, Some("x-ignored"));
    let names: Vec<&str> = sent.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["webhook-id", "webhook-timestamp", "webhook-signature"]);
    assert_eq!((sent[0].1.as_str(), sent[1].1.as_str()), (SIGNED.event_id, "1614265330"));
    let alone = |index: usize| signature(&keys[index], &SIGNED);
    assert_eq!(sent[2].1, format!("{} {} {}", alone(1), alone(2), alone(0)));
    for key in &keys {
        assert_eq!(verify(&verify_key_of(key), &sent[2].1, &SIGNED), Ok(()));
    }
}

#[test]
fn a_standard_header_in_another_form_is_named() {
    let verifier = verify_key_of(&key(Scheme::V1, WHSEC));
    let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert_eq!(verify(&verifier, &format!("v1,AAAA {good}\n"), &SIGNED), Ok(()));
    assert_eq!(verify(&verifier, "v1,AAAA v1,%%%", &SIGNED), Err(Mismatch::Different));
    for bad in ["", &good[3..], &format!("v1,AAAA  {good}"), "v2,AAAA", "v1a,AAAA"] {
        assert!(matches!(verify(&verifier, bad, &SIGNED), Err(Mismatch::Unreadable(_))), "{bad}");
    }
    let hmac = verify_key_of(&key(Scheme::Hmac, "topsecret"));
    let signature = hmac::sign(b"topsecret", b"x");
    for bad in ["", &signature[1..], &signature.to_uppercase(), &format!("0x{signature}"), &"g".repeat(64)] {
        assert!(matches!(verify(&hmac, bad, &over(b"x")), Err(Mismatch::Unreadable(_))), "{bad}");
    }
}

#[test]
fn keys_are_read_as_people_keep_them() {
    let secret = |scheme, text: &str| read_key(scheme, text.as_bytes()).unwrap().secret.expose().to_vec();
    assert_eq!(secret(Scheme::Hmac, "topsecret\n"), b"topsecret");
    assert_eq!(secret(Scheme::Hmac, "topsecret\r\n"), b"topsecret");
    assert_eq!(secret(Scheme::Hmac, " topsecret\n\n"), b" topsecret\n");
    assert_eq!(secret(Scheme::Eip191, PRIVATE), secret(Scheme::Eip191, &PRIVATE[2..].to_uppercase()));
    assert_eq!(secret(Scheme::V1, &format!("{WHSEC}\n")).len(), 24);
    let seed: Vec<u8> = (0..32).collect();
    assert_eq!(secret(Scheme::V1a, WHSK), seed);
    assert_eq!(secret(Scheme::V1a, &format!("whsk_{}", STANDARD.encode(&seed))), seed);
    assert_eq!(public_of(&key(Scheme::Hmac, "x")), None);
    assert_eq!(public_of(&key(Scheme::V1, WHSEC)), None);
}

#[test]
fn other_keys_are_refused_with_words_that_do_not_hold_them() {
    let refused = |scheme, text: &str, words: &str| {
        let error = read_key(scheme, text.as_bytes()).unwrap_err();
        assert!(error.contains(words), "{error:?} lacks {words:?}");
        let kept = text.trim_start_matches("whsec_").trim_start_matches("whsk_").trim_start_matches("0x").trim();
        assert!(kept.len() < 6 || !error.contains(kept), "{error:?} holds the secret");
    };
    refused(Scheme::Hmac, "\n", "1 to 4096 bytes");
    refused(Scheme::Hmac, &"x".repeat(4097), "4097 bytes");
    refused(Scheme::V1, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "does not begin with whsec_");
    refused(Scheme::V1, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "URL-safe alphabet");
    refused(Scheme::V1, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "is not base64");
    refused(Scheme::V1, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "this one has 23 bytes");
    refused(Scheme::V1, &format!("whsec_{}", STANDARD.encode([7; 65])), "this one has 65 bytes");
    refused(Scheme::V1, WHSK, "does not begin with whsec_");
    refused(Scheme::Eip191, ADDRESS, "this one has 40 characters");
    refused(Scheme::Eip191, &"g".repeat(64), "other characters");
    refused(Scheme::Eip191, &"0".repeat(64), "zero or beyond");
    refused(Scheme::Eip191, &"f".repeat(64), "zero or beyond");
    refused(Scheme::V1a, WHPK, "does not begin with whsk_");
    refused(Scheme::V1a, "whsk_AAAA", "this one has 3 bytes");
    refused(Scheme::V1a, &format!("whsk_{}", STANDARD.encode([7; 64])), "not that of the seed");
    refused(Scheme::V1a, "whsk_****", "is not base64");
}

#[test]
fn receivers_keys_are_read_too() {
    let error = |scheme, text: &str| read_verify_key(scheme, text.as_bytes()).unwrap_err();
    for same in [ADDRESS, &ADDRESS.to_lowercase(), PRIVATE, &format!("{ADDRESS}\n")] {
        let verifier = read_verify_key(Scheme::Eip191, same.as_bytes()).unwrap();
        assert_eq!(format!("{verifier:?}"), format!("Eip191({ADDRESS})"));
    }
    assert!(error(Scheme::Eip191, &ADDRESS.replace('E', "e")).contains("EIP-55"));
    assert!(error(Scheme::Eip191, "0x12").contains("40 hex digits"));
    assert!(error(Scheme::V1a, "whpk_AAAA").contains("whpk_"));
    assert!(error(Scheme::V1a, &format!("whpk_{}", STANDARD.encode([0; 32]))).contains("no ed25519 key"));
    let hidden = read_verify_key(Scheme::Hmac, b"topsecret").unwrap();
    assert_eq!(format!("{hidden:?}"), "Hmac(***)");
}

#[test]
fn each_profile_takes_its_own_keys() {
    let (ensuro, standard) = (&[Scheme::Hmac, Scheme::Eip191], &[Scheme::V1, Scheme::V1a]);
    let (shared, ethereum) = (key(Scheme::Hmac, "x"), key(Scheme::Eip191, ONE));
    let (v1, v1a) = (key(Scheme::V1, WHSEC), key(Scheme::V1a, WHSK));
    for keys in [vec![shared.clone()], vec![shared.clone(), shared.clone()], vec![ethereum.clone()]] {
        assert_eq!(check_keys(ensuro, &keys), Ok(()));
    }
    for keys in [vec![v1.clone()], vec![v1a.clone()], vec![v1.clone(), v1a.clone()]] {
        assert_eq!(check_keys(standard, &keys), Ok(()));
        assert!(check_keys(ensuro, &keys).unwrap_err().contains("signs with hmac or eip191, not with v1"));
    }
    assert_eq!(check_keys(&[], &[]), Ok(()));
    assert!(check_keys(&[], std::slice::from_ref(&shared)).unwrap_err().contains("unsigned"));
    assert!(check_keys(ensuro, &[]).unwrap_err().contains("a key of scheme hmac or eip191 is needed"));
    assert!(check_keys(ensuro, &[shared, ethereum]).unwrap_err().contains("not with both"));
}

#[test]
fn hex_goes_both_ways() {
    assert_eq!(hex(&[0, 0x9a, 0xff]), "009aff");
    assert_eq!(unhex(b"009AfF"), Some(vec![0, 0x9a, 0xff]));
    assert_eq!(unhex(b""), Some(vec![]));
    for bad in ["0", "0g", "+1", "0x00", " 0"] {
        assert_eq!(unhex(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(hex(&digest(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
