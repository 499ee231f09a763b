//! Tokens that must be refused, each for its own reason, and the few that must not.

use kheeper_model::HostId;
use serde_json::json;

use super::*;
use crate::PrivateKey;
use crate::token::{AccessRequest, mint_access, mint_registration};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const NOW_SECS: u64 = 1_800_000_000;

struct Caller {
    key: PrivateKey,
    subject: SubjectId,
    origin: Origin,
}

fn caller() -> Caller {
    Caller {
        key: PrivateKey::generate().unwrap(),
        subject: HostId::random().into(),
        origin: "https://backup.example.com".parse().unwrap(),
    }
}

impl Caller {
    fn mint(&self, ttl_secs: u64, scope: Option<&Scope>) -> String {
        let request = AccessRequest { subject: &self.subject, audience: &self.origin, now: NOW, ttl_secs, scope };
        mint_access(&self.key, &request).reveal().to_owned()
    }

    fn verify_at(&self, token: &str, now: Timestamp) -> Result<AccessClaims, TokenError> {
        verify_access(token, self.key.public_key(), std::slice::from_ref(&self.origin), now)
    }

    fn verify(&self, token: &str) -> Result<AccessClaims, TokenError> {
        self.verify_at(token, NOW)
    }

    fn header(&self) -> serde_json::Value {
        json!({"alg": "EdDSA", "typ": "kheeper-access+jwt", "kid": self.key.public_key().key_id()})
    }

    fn claims(&self) -> serde_json::Value {
        json!({"sub": self.subject, "aud": self.origin, "iat": NOW_SECS, "exp": NOW_SECS + 300})
    }

    /// Signs any header and claims, well formed or not.
    fn sign(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(input.as_bytes())))
    }

    /// A token with some claims changed; `null` removes one.
    fn with_claims(&self, changes: serde_json::Value) -> String {
        self.sign(&self.header().to_string(), &changed(self.claims(), changes).to_string())
    }

    fn with_header(&self, changes: serde_json::Value) -> String {
        self.sign(&changed(self.header(), changes).to_string(), &self.claims().to_string())
    }
}

fn changed(mut whole: serde_json::Value, changes: serde_json::Value) -> serde_json::Value {
    let fields = whole.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    whole
}

#[track_caller]
fn assert_denied(result: Result<AccessClaims, TokenError>) {
    match result {
        Err(error @ TokenError::Denied(_)) => assert_eq!(error.to_string(), "the token is not valid here"),
        other => panic!("expected a denial, found {other:?}"),
    }
}

#[test]
fn a_minted_token_verifies_and_says_what_was_asked() {
    let caller = caller();
    let scope: Scope = "read:myorg/web-01".parse().unwrap();
    let token = caller.mint(300, Some(&scope));
    let claims = caller.verify(&token).unwrap();
    assert_eq!(claims.subject, caller.subject);
    assert_eq!(claims.key_id, caller.key.public_key().key_id());
    assert_eq!(claims.scope, Some(scope));
    assert_eq!((claims.issued_at, claims.expires_at), (NOW, NOW.plus_secs(300)));
    let head = TokenHead::peek(&token).unwrap();
    assert_eq!((head.key_id, head.subject), (claims.key_id, claims.subject));
}

#[test]
fn the_helpers_of_these_tests_make_valid_tokens() {
    let caller = caller();
    assert!(caller.verify(&caller.with_claims(json!({}))).is_ok());
    assert!(caller.verify(&caller.with_header(json!({}))).is_ok());
}

#[test]
fn other_algorithms_are_denied_whatever_signed_them() {
    let caller = caller();
    for alg in ["none", "None", "nOnE", "", "HS256", "HS512", "RS256", "ES256", "Ed448", "eddsa", "Ed25519"] {
        assert_denied(caller.verify(&caller.with_header(json!({"alg": alg}))));
        assert!(TokenHead::peek(&caller.with_header(json!({"alg": alg}))).is_err());
    }
    assert_denied(caller.verify(&caller.with_header(json!({"alg": null}))));
}

#[test]
fn an_unsigned_token_is_denied() {
    let caller = caller();
    let header = changed(caller.header(), json!({"alg": "none"})).to_string();
    let unsigned =
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(caller.claims().to_string()));
    assert_denied(caller.verify(&unsigned));
    let valid = caller.mint(300, None);
    let (signed, _) = valid.rsplit_once('.').unwrap();
    assert_denied(caller.verify(&format!("{signed}.")));
    assert_denied(caller.verify(signed));
}

#[test]
fn a_mac_keyed_with_the_public_key_is_denied() {
    let caller = caller();
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.typ = Some("kheeper-access+jwt".to_owned());
    header.kid = Some(caller.key.public_key().key_id().to_string());
    for secret in [caller.key.public_key().as_bytes().to_vec(), caller.key.public_key().to_spki_pem().into_bytes()] {
        let key = jsonwebtoken::EncodingKey::from_secret(&secret);
        let token = jsonwebtoken::encode(&header, &caller.claims(), &key).unwrap();
        assert_denied(caller.verify(&token));
    }
}

#[test]
fn headers_that_bring_or_point_to_keys_or_extensions_are_denied() {
    let caller = caller();
    for extra in [
        json!({"jwk": {"kty": "OKP"}}),
        json!({"jku": "https://evil.example.com"}),
        json!({"x5u": "https://evil.example.com"}),
        json!({"x5c": ["AA=="]}),
        json!({"crit": ["exp"]}),
        json!({"b64": false}),
        json!({"cty": "JWT"}),
        json!({"kid": "../../etc/passwd"}),
        json!({"kid": 7}),
        json!({"kid": null}),
        json!({"typ": "JWT"}),
        json!({"typ": null}),
        json!({"typ": "kheeper-registration+jwt"}),
    ] {
        assert_denied(caller.verify(&caller.with_header(extra)));
    }
}

#[test]
fn times_of_another_type_or_missing_are_denied() {
    let caller = caller();
    let exp = NOW_SECS + 300;
    for wrong in [
        json!({"exp": exp.to_string()}),
        json!({"exp": exp as f64 + 0.5}),
        json!({"exp": null}),
        json!({"exp": [exp]}),
        json!({"exp": true}),
        json!({"exp": -1}),
        json!({"exp": u64::MAX}),
        json!({"iat": null}),
        json!({"iat": NOW_SECS.to_string()}),
        json!({"iat": 0}),
        json!({"nbf": NOW_SECS}),
    ] {
        assert_denied(caller.verify(&caller.with_claims(wrong)));
    }
    let huge = caller.claims().to_string().replace(&exp.to_string(), "1e400");
    assert_denied(caller.verify(&caller.sign(&caller.header().to_string(), &huge)));
    let null = caller.claims().to_string().replace(&exp.to_string(), "null");
    assert_denied(caller.verify(&caller.sign(&caller.header().to_string(), &null)));
}

#[test]
fn a_life_that_is_too_long_or_ends_before_it_starts_is_denied() {
    let caller = caller();
    assert!(caller.verify(&caller.with_claims(json!({"exp": NOW_SECS + 3600}))).is_ok());
    assert_denied(caller.verify(&caller.with_claims(json!({"exp": NOW_SECS + 3601}))));
    assert_denied(caller.verify(&caller.with_claims(json!({"exp": NOW_SECS}))));
    assert_denied(caller.verify(&caller.with_claims(json!({"exp": NOW_SECS - 1}))));
    let minted = caller.verify(&caller.mint(1_000_000, None)).unwrap();
    assert_eq!(minted.expires_at, NOW.plus_secs(TOKEN_TTL_SECS_MAX));
}

#[test]
fn clocks_may_differ_by_five_minutes_and_no_more() {
    let caller = caller();
    let token = caller.mint(60, None);
    let at = |secs: i64| caller.verify_at(&token, Timestamp::from_secs(NOW.as_secs() + secs)).map(|_| ());
    assert_eq!(at(0), Ok(()));
    assert_eq!(at(360), Ok(()));
    assert_eq!(at(361), Err(TokenError::Expired { ago_secs: 301 }));
    assert_eq!(at(-300), Ok(()));
    assert_eq!(at(-301), Err(TokenError::IssuedInFuture { ahead_secs: 301 }));
    assert_eq!(caller.verify_at(&token, Timestamp(i64::MIN)).map(|_| ()), at(-NOW.as_secs()));
}

#[test]
fn only_a_validly_signed_token_is_told_that_it_expired() {
    let caller = caller();
    let stranger = Caller { key: PrivateKey::generate().unwrap(), ..caller_like(&caller) };
    let later = NOW.plus_secs(7200);
    assert!(matches!(caller.verify_at(&caller.mint(60, None), later), Err(TokenError::Expired { .. })));
    assert_denied(caller.verify_at(&stranger.mint(60, None), later));
}

fn caller_like(other: &Caller) -> Caller {
    Caller { subject: other.subject.clone(), origin: other.origin.clone(), ..caller() }
}

#[test]
fn a_token_for_another_origin_is_denied() {
    let caller = caller();
    for aud in
        ["https://other.example.com:443", "http://backup.example.com:443", "https://backup.example.com:8443", "*", ""]
    {
        assert_denied(caller.verify(&caller.with_claims(json!({"aud": aud}))));
    }
    assert_denied(caller.verify(&caller.with_claims(json!({"aud": null}))));
    assert_denied(caller.verify(&caller.with_claims(json!({"aud": [caller.origin]}))));
    assert!(caller.verify(&caller.with_claims(json!({"aud": "HTTPS://Backup.Example.com/"}))).is_ok());
    assert_denied(verify_access(&caller.mint(60, None), caller.key.public_key(), &[], NOW));
}

#[test]
fn duplicate_claims_and_headers_are_denied() {
    let caller = caller();
    let claims = caller.claims().to_string();
    for extra in [format!(r#""exp":{}"#, NOW_SECS + 300), format!(r#""sub":"{}""#, caller.subject)] {
        let doubled = claims.replacen('{', &format!("{{{extra},"), 1);
        assert_denied(caller.verify(&caller.sign(&caller.header().to_string(), &doubled)));
    }
    let header = caller.header().to_string().replacen('{', r#"{"alg":"none","#, 1);
    assert_denied(caller.verify(&caller.sign(&header, &claims)));
}

#[test]
fn an_unknown_claim_or_scope_is_denied_and_not_ignored() {
    let caller = caller();
    for wrong in [
        json!({"only": "myorg/web-01"}),
        json!({"scope": "admin"}),
        json!({"scope": ""}),
        json!({"scope": ["read"]}),
        json!({"sub": "alice"}),
        json!({"sub": null}),
    ] {
        assert_denied(caller.verify(&caller.with_claims(wrong)));
    }
    let null_scope = caller.claims().to_string().replacen('{', r#"{"scope":null,"#, 1);
    assert_denied(caller.verify(&caller.sign(&caller.header().to_string(), &null_scope)));
}

#[test]
fn lists_in_place_of_objects_are_denied() {
    let caller = caller();
    let list = json!([caller.subject, caller.origin, NOW_SECS, NOW_SECS + 300]).to_string();
    assert_denied(caller.verify(&caller.sign(&caller.header().to_string(), &list)));
    let header = json!(["EdDSA", "kheeper-access+jwt", caller.key.public_key().key_id()]).to_string();
    assert_denied(caller.verify(&caller.sign(&header, &caller.claims().to_string())));
}

#[test]
fn an_oversize_token_is_denied_before_it_is_decoded() {
    let caller = caller();
    let padded = format!("{}{}", caller.claims(), " ".repeat(3000));
    assert_denied(caller.verify(&caller.sign(&caller.header().to_string(), &padded)));
    assert_denied(caller.verify(&".".repeat(1_000_000)));
}

#[test]
fn each_token_has_one_spelling() {
    let caller = caller();
    let token = caller.mint(60, None);
    assert_denied(caller.verify(&format!("{token}=")));
    assert_denied(caller.verify(&format!("{token} ")));
    assert_denied(caller.verify(&format!("{token}.e30")));
    // 64 bytes leave two unused bits in the last character: setting one must not go unnoticed.
    let (start, last) = token.split_at(token.len() - 1);
    let position = "AQgw".find(last).expect("a last character with zero trailing bits");
    let other = ["B", "R", "h", "x"][position];
    assert_denied(caller.verify(&format!("{start}{other}")));
}

#[test]
fn a_changed_byte_anywhere_is_denied() {
    let caller = caller();
    let token = caller.mint(60, None);
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert_denied(caller.verify(&String::from_utf8(bytes).unwrap()));
    }
}

#[test]
fn jsonwebtoken_agrees_with_what_we_mint_and_we_with_what_it_mints() {
    let caller = caller();
    let public = caller.key.public_key().to_spki_pem();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_audience(&[caller.origin.as_str()]);
    validation.validate_exp = false;
    let decoded = jsonwebtoken::decode::<serde_json::Value>(
        caller.mint(300, None),
        &jsonwebtoken::DecodingKey::from_ed_pem(public.as_bytes()).unwrap(),
        &validation,
    );
    assert_eq!(decoded.unwrap().claims, caller.claims());

    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
    header.typ = Some("kheeper-access+jwt".to_owned());
    header.kid = Some(caller.key.public_key().key_id().to_string());
    let private = caller.key.to_pkcs8_pem().unwrap();
    let key = jsonwebtoken::EncodingKey::from_ed_pem(private.as_bytes()).unwrap();
    assert!(caller.verify(&jsonwebtoken::encode(&header, &caller.claims(), &key).unwrap()).is_ok());
}

#[test]
fn a_registration_token_proves_its_key_and_is_no_access_token() {
    let caller = caller();
    let user = UserId::random();
    let audiences = std::slice::from_ref(&caller.origin);
    let token = mint_registration(&caller.key, &user, &caller.origin, NOW);
    let claims = verify_registration(token.reveal(), audiences, NOW).unwrap();
    assert_eq!((claims.user, claims.public_key), (user, *caller.key.public_key()));
    assert_denied(caller.verify(token.reveal()));
    assert!(TokenHead::peek(token.reveal()).is_err());
    assert!(verify_registration(&caller.mint(60, None), audiences, NOW).is_err());
    let late = NOW.plus_secs(REGISTRATION_TOKEN_TTL_SECS + CLOCK_SKEW_SECS_MAX + 1);
    assert!(matches!(verify_registration(token.reveal(), audiences, late), Err(TokenError::Expired { .. })));
    assert!(verify_registration(token.reveal(), &[], NOW).is_err());
}

#[test]
fn a_registration_token_with_another_key_inside_is_denied() {
    let caller = caller();
    let other = PrivateKey::generate().unwrap();
    let user = UserId::random();
    let header = json!({"alg": "EdDSA", "typ": "kheeper-registration+jwt", "kid": other.public_key().key_id()});
    let claims = json!({
        "sub": user, "aud": caller.origin, "iat": NOW_SECS, "exp": NOW_SECS + 900,
        "jti": "0".repeat(32), "key": URL_SAFE_NO_PAD.encode(other.public_key().as_bytes()),
    });
    let token = caller.sign(&header.to_string(), &claims.to_string());
    let result = verify_registration(&token, std::slice::from_ref(&caller.origin), NOW);
    assert!(matches!(result, Err(TokenError::Denied(_))));
}

#[test]
fn a_token_does_not_print() {
    let caller = caller();
    let request =
        AccessRequest { subject: &caller.subject, audience: &caller.origin, now: NOW, ttl_secs: 60, scope: None };
    let token = mint_access(&caller.key, &request);
    assert!(!format!("{token:?}").contains(&token.reveal()[..20]));
}
