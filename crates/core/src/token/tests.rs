use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::credential::KeyHash;
use crate::resource::{self, KeyId};
use crate::snapshot::{Change, Snapshot};

const NOW: u64 = 1_800_000_000;
const KEY_ID: KeyId = KeyId(Uuid::from_u128(7));

fn signing_key(key_id: &str, signs_from_secs: u64) -> resource::SigningKey {
    resource::SigningKey { key_id: key_id.into(), seed: [key_id.len().to_le_bytes()[0]; 32], signs_from_secs }
}

fn snapshot(keys: &[resource::SigningKey]) -> Snapshot {
    let changes: Vec<Change> = keys.iter().cloned().map(Change::PutSigningKey).collect();
    Snapshot::default().with(&changes, 1).unwrap()
}

fn grant(hash: KeyHash) -> Grant<'static> {
    Grant {
        tenant: "acme",
        consumer: Some("ann@example.com"),
        plan: Some("basic"),
        key_id: KEY_ID,
        key_hash: hash,
        token_id: Uuid::from_u128(99),
    }
}

fn issued(issuing: &Issuing, snapshot: &Snapshot) -> String {
    issuing.issue(snapshot, &grant(KeyHash::of(b"key")), NOW).unwrap().token
}

fn with_secret(secret: &[u8]) -> Issuing {
    Issuing { secret: Some(Arc::new(SigningKey::from_secret(secret).unwrap())), ..Issuing::default() }
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// The part's JSON of a token.
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_token_says_whom_it_is_for_and_leads_back_to_the_key() {
    let snapshot = snapshot(&[signing_key("one", 0)]);
    for issuing in [Issuing::default(), with_secret(&[1; 32])] {
        let token = issued(&issuing, &snapshot);
        let (verified, _) = issuing.verify(&snapshot, token.as_bytes(), NOW + 3_599).unwrap();
        assert_eq!(verified.key_hash, KeyHash::of(b"key"));
        assert_eq!(verified.expires_at_secs, NOW + 3_600);
        let claims = part(&token, 1);
        for (name, value) in [
            ("iss", json!("tollgate")),
            ("sub", json!("ann@example.com")),
            ("aud", json!("acme")),
            ("iat", json!(NOW)),
            ("exp", json!(NOW + 3_600)),
            ("tenant", json!("acme")),
            ("consumer", json!("ann@example.com")),
            ("plan", json!("basic")),
            ("key_id", json!(KEY_ID.to_string())),
        ] {
            assert_eq!(claims[name], value, "{name}");
        }
        let hash = URL_SAFE_NO_PAD.encode(KeyHash::of(b"key").as_bytes());
        assert_ne!(claims["key_ref"], json!(hash), "the hash does not stand there in clear");
        assert_eq!(issuing.verify(&snapshot, token.as_bytes(), NOW + 3_600), Err(TokenError::Expired));
        // The clock of another node may be behind, but not by much.
        assert!(issuing.verify(&snapshot, token.as_bytes(), NOW - 60).is_ok());
        assert_eq!(issuing.verify(&snapshot, token.as_bytes(), NOW - 61), Err(TokenError::NotYet));
    }
}

#[test]
fn the_newest_key_whose_time_has_come_signs_and_the_others_verify() {
    let issuing = Issuing::default();
    let old = snapshot(&[signing_key("a", 0)]);
    let token = issued(&issuing, &old);
    let both = snapshot(&[signing_key("bbb", NOW - 1), signing_key("a", 0), signing_key("cc", NOW + 1)]);
    let (verified, _) = issuing.verify(&both, token.as_bytes(), NOW).unwrap();
    assert_eq!(part(&issued(&issuing, &both), 0)["kid"], "bbb");
    let keys: Value = serde_json::from_str(&issuing.key_set(&both)).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 3, "the next one is published already");
    let gone = both.with(&[Change::DeleteSigningKey("a".into())], 2).unwrap();
    assert_eq!(issuing.verify(&gone, token.as_bytes(), NOW), Err(TokenError::UnknownKey));
    assert_eq!(verified.in_force(&issuing, &gone, NOW).err(), Some(TokenError::UnknownKey));
    assert_eq!(with_secret(&[1; 32]).key_set(&both), r#"{"keys":[]}"#);
    assert!(Issuing::default().issue(&Snapshot::default(), &grant(KeyHash::of(b"key")), NOW).is_none());
}

#[test]
fn the_published_key_verifies_as_any_issuer_s_would() {
    let (issuing, snapshot) = (Issuing::default(), snapshot(&[signing_key("one", 0)]));
    let keys = KeySet::parse(issuing.key_set(&snapshot).as_bytes()).unwrap();
    let token = issued(&issuing, &snapshot);
    let compact = Compact::parse(token.as_bytes()).unwrap();
    let expected =
        Expected { issuer: "tollgate", audience: "acme", leeway_secs: 0, ahead_secs: 0, now_secs: NOW };
    let key = keys.key(compact.key_id.as_deref(), compact.algorithm).unwrap();
    assert_eq!(key.verify(&compact, &expected).unwrap().1, NOW + 3_600);
    let other = Expected { audience: "other", ..expected };
    assert_eq!(key.verify(&compact, &other).unwrap_err(), TokenError::Audience);
}

#[test]
fn of_keys_that_share_an_id_the_one_for_the_algorithm_verifies() {
    let (issuing, snapshot) = (Issuing::default(), snapshot(&[signing_key("one", 0)]));
    let own = issuing
        .key_set(&snapshot)
        .strip_prefix(r#"{"keys":["#)
        .unwrap()
        .strip_suffix("]}")
        .unwrap()
        .to_owned();
    // Long enough to be a key; nobody signs with it.
    let modulus = URL_SAFE_NO_PAD.encode([0xff; 256]);
    let rsa = format!(r#"{{"kty":"RSA","kid":"one","n":"{modulus}","e":"AQAB"}}"#);
    let token = issued(&issuing, &snapshot);
    let compact = Compact::parse(token.as_bytes()).unwrap();
    for keys in [[&rsa, &own], [&own, &rsa]] {
        let text = format!(r#"{{"keys":[{},{}]}}"#, keys[0], keys[1]);
        let keys = KeySet::parse(text.as_bytes()).unwrap();
        let key = keys.key(Some("one"), Algorithm::EdDsa).unwrap();
        assert!(key.verify_signature(&compact).is_ok(), "{text}");
        assert!(keys.key(Some("one"), Algorithm::Ps256).unwrap().is_for(Algorithm::Ps256), "{text}");
        // That there is none for it is said of one of them, not that there is no such key.
        let other = keys.key(Some("one"), Algorithm::Es256).unwrap();
        assert!(!other.is_for(Algorithm::Es256), "{text}");
        assert!(keys.key(Some("two"), Algorithm::EdDsa).is_none());
    }
}

#[test]
fn a_secret_is_long_and_another_secret_is_another() {
    assert_eq!(SigningKey::from_secret(&[0; 31]).unwrap_err(), BadSecret::TooShort);
    let token = issued(&with_secret(&[1; 32]), &Snapshot::default());
    let verified = with_secret(&[2; 32]).verify(&Snapshot::default(), token.as_bytes(), NOW);
    assert_eq!(verified, Err(TokenError::Signature));
}

#[test]
fn the_key_decides_the_algorithm() {
    let (issuing, snapshot) = (Issuing::default(), snapshot(&[signing_key("one", 0)]));
    let token = issued(&issuing, &snapshot);
    let (_, payload, signature) = {
        let mut parts = token.split('.');
        (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap())
    };
    let outcome = |header: &str, signature: &str| {
        let token = format!("{}.{payload}.{signature}", encoded(header));
        issuing.verify(&snapshot, token.as_bytes(), NOW).unwrap_err()
    };
    // What would be an HMAC with the public key, as with CVE-2015-9235.
    let keys: Value = serde_json::from_str(&issuing.key_set(&snapshot)).unwrap();
    let public = URL_SAFE_NO_PAD.decode(keys["keys"][0]["x"].as_str().unwrap()).unwrap();
    let header = encoded(r#"{"alg":"HS256","kid":"one"}"#);
    let confused = SigningKey::from_secret(&public).unwrap();
    let confused = confused.sign(&String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap());
    let forged = format!("{header}.{payload}.{}", confused.rsplit('.').next().unwrap());
    assert_eq!(issuing.verify(&snapshot, forged.as_bytes(), NOW), Err(TokenError::Algorithm));
    for (header, expected) in [
        (r#"{"alg":"HS256","kid":"one"}"#, TokenError::Algorithm),
        (r#"{"alg":"RS256","kid":"one"}"#, TokenError::Algorithm),
        (r#"{"alg":"EdDSA","kid":"two"}"#, TokenError::UnknownKey),
        (r#"{"alg":"EdDSA"}"#, TokenError::UnknownKey),
        // The header is signed too.
        (r#"{"alg":"EdDSA","kid":"one"}"#, TokenError::Signature),
    ] {
        assert_eq!(outcome(header, signature), expected, "{header}");
    }
    for header in [
        r#"{"alg":"none","kid":"one"}"#,
        r#"{"alg":"None","kid":"one"}"#,
        r#"{"alg":"eddsa","kid":"one"}"#,
        r#"{"alg":"","kid":"one"}"#,
        r#"{"alg":null,"kid":"one"}"#,
        r#"{"alg":["EdDSA"],"kid":"one"}"#,
        r#"{"kid":"one"}"#,
        r#"{"alg":"EdDSA","kid":7}"#,
        r#"{"alg":"EdDSA","kid":""}"#,
        r#"{"alg":"EdDSA","kid":"one","typ":"JWE"}"#,
        r#"{"alg":"EdDSA","kid":"one","typ":7}"#,
        r#"{"alg":"EdDSA","kid":"one","typ":"id_token+jwt"}"#,
        r#"{"alg":"EdDSA","kid":"one","crit":["exp"]}"#,
        r#"{"alg":"EdDSA","alg":"EdDSA","kid":"one"}"#,
        r#"{"alg":"EdDSA","kid":"one"} {}"#,
        r#"["alg"]"#,
        "",
    ] {
        assert!(matches!(outcome(header, signature), TokenError::Header(_)), "{header}");
        assert!(matches!(outcome(header, ""), TokenError::Header(_)), "{header}");
    }
}

#[test]
fn a_token_is_three_canonical_parts_of_a_bounded_length() {
    let (issuing, snapshot) = (Issuing::default(), snapshot(&[signing_key("one", 0)]));
    let token = issued(&issuing, &snapshot);
    for bad in [
        String::new(),
        "..".to_owned(),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}="),
        format!("{token}\n"),
        token.replace('.', "+"),
        // Another text for the same bytes: 64 bytes leave four bits of the last character unused.
        format!("{}B", &token[..token.len() - 1]),
    ] {
        let error = issuing.verify(&snapshot, bad.as_bytes(), NOW).unwrap_err();
        assert!(matches!(error, TokenError::Shape | TokenError::Header(_)), "{bad:?}: {error:?}");
    }
    let long = format!("{token}{}", "A".repeat(LONGEST_TOKEN));
    assert_eq!(issuing.verify(&snapshot, long.as_bytes(), NOW), Err(TokenError::TooLong));
}

#[test]
fn claims_are_checked_with_leeway() {
    let check = |claims: Value, now_secs| {
        let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
        claims.check(&Expected { issuer: "i", audience: "a", leeway_secs: 10, ahead_secs: 10, now_secs })
    };
    let good = json!({ "iss": "i", "aud": ["b", "a"], "exp": 100.9, "nbf": 50 });
    assert_eq!(check(good.clone(), 109), Ok(110));
    assert_eq!(check(good.clone(), 110), Err(TokenError::Expired));
    assert_eq!(check(good.clone(), 40), Ok(110));
    assert_eq!(check(good, 39), Err(TokenError::NotYet));
    for (claims, expected) in [
        (json!({ "iss": "j", "aud": "a", "exp": 100 }), TokenError::Issuer),
        (json!({ "aud": "a", "exp": 100 }), TokenError::Issuer),
        (json!({ "iss": ["i"], "aud": "a", "exp": 100 }), TokenError::Issuer),
        (json!({ "iss": "i", "aud": "b", "exp": 100 }), TokenError::Audience),
        (json!({ "iss": "i", "exp": 100 }), TokenError::Audience),
        (json!({ "iss": "i", "aud": {"a": 1}, "exp": 100 }), TokenError::Audience),
        (json!({ "iss": "i", "aud": ["a", 5], "exp": 100 }), TokenError::Audience),
        (json!({ "iss": "i", "aud": "a", "exp": 100, "iat": 999 }), TokenError::NotYet),
    ] {
        assert_eq!(check(claims, 50), Err(expected));
    }
    for exp in [json!(null), json!("100"), json!(-1), json!(1e300), json!([100]), json!(true)] {
        let outcome = check(json!({ "iss": "i", "aud": "a", "exp": exp }), 50);
        assert!(matches!(outcome, Err(TokenError::Claims(_))), "{outcome:?}");
    }
    assert!(matches!(check(json!({ "iss": "i", "aud": "a" }), 50), Err(TokenError::Claims(_))));
    assert!(matches!(
        check(json!({ "iss": "i", "aud": "a", "exp": 100, "nbf": "x" }), 50),
        Err(TokenError::Claims(_))
    ));
}

#[test]
fn key_sets_hold_public_keys_alone() {
    for (text, expected) in [
        ("<!DOCTYPE html><html></html>", BadKeySet::Html),
        ("nothing", BadKeySet::NotJson),
        ("[]", BadKeySet::NotJson),
        ("{}", BadKeySet::NoKeys),
        (r#"{"keys":{}}"#, BadKeySet::NoKeys),
    ] {
        assert_eq!(KeySet::parse(text.as_bytes()).unwrap_err(), expected, "{text}");
    }
    let is_empty = |text: &str| KeySet::parse(text.as_bytes()).unwrap().is_empty();
    for text in [
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]}"#,
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"short"}]}"#,
        r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#,
        r#"{"keys":[7,null,{"kty":7}]}"#,
    ] {
        assert!(is_empty(text), "{text}");
    }
    let published = Issuing::default().key_set(&snapshot(&[signing_key("one", 0)]));
    for (from, to) in [("\"sig\"", "\"enc\""), ("\"EdDSA\"", "\"HS256\""), ("\"EdDSA\"", "7")] {
        assert!(is_empty(&published.replace(from, to)), "{to}");
    }
    assert!(!is_empty(&published));
    let many = format!(r#"{{"keys":[{}]}}"#, vec!["{}"; 65].join(","));
    assert_eq!(KeySet::parse(many.as_bytes()).unwrap_err(), BadKeySet::TooMany);
}

/// Any JSON that is not nested deeply.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_comes_is_refused_or_read_but_never_a_panic(bytes: Vec<u8>) {
        drop(Claims::parse(&bytes));
        drop(Compact::parse(&bytes));
        drop(KeySet::parse(&bytes));
    }

    #[test]
    fn objects_are_read_as_any_reader_reads_them(value in any_json()) {
        let parsed = Claims::parse(value.to_string().as_bytes()).map(Claims::into_map);
        prop_assert_eq!(parsed.ok().map(Value::Object), value.is_object().then_some(value));
    }

    #[test]
    fn a_member_that_stands_there_twice_is_refused_at_any_depth(
        value in any_json(), name in "[a-z]{1,4}", depth in 0usize..6,
    ) {
        let mut text = format!(r#"{{"{name}":{value},"other":1,"{name}":2}}"#);
        for _ in 0..depth {
            text = format!(r#"{{"a":[{text}]}}"#);
        }
        prop_assert!(Claims::parse(text.as_bytes()).is_err());
    }

    #[test]
    fn deep_nesting_is_refused(depth in 8usize..4_000) {
        let text = format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        prop_assert!(Claims::parse(text.as_bytes()).is_err());
    }

    #[test]
    fn one_wrong_character_spoils_a_token(at: prop::sample::Index, with in "[A-Za-z0-9_.-]") {
        let (issuing, snapshot) = (Issuing::default(), snapshot(&[signing_key("one", 0)]));
        let mut token = issued(&issuing, &snapshot).into_bytes();
        let at = at.index(token.len());
        prop_assume!(token[at] != with.as_bytes()[0]);
        token[at] = with.as_bytes()[0];
        prop_assert!(issuing.verify(&snapshot, &token, NOW).is_err());
    }
}
