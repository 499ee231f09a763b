//! Forged, stretched and misused tokens: refused, all with one text until a signature has verified.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kheeper_e2e::s3::{DUMMY_AUTHORIZATION, xml_values};
use kheeper_e2e::token::{self, Token, part};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Door, Request, Response, World};
use serde_json::json;

struct Scene {
    world: World,
    host: Host,
    good: Token,
    key: aws_lc_rs::signature::Ed25519KeyPair,
}

fn scene() -> Scene {
    let world = World::start();
    let host = world.host("web-01");
    world.direct(&host.cli).put(&host.path("a"), b"secret").expect(200);
    let good = Token::parse(&host.cli.token());
    let key = token::key_pair(&host.cli.key_file());
    Scene { world, host, good, key }
}

impl Scene {
    fn get(&self, jwt: &str) -> Response {
        Door::direct(self.world.server.address(), jwt).get(&self.host.path("a"))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

#[test]
fn a_token_has_one_algorithm_one_key_and_one_audience() {
    let scene = scene();
    let (good, key) = (&scene.good, &scene.key);
    scene.get(&good.sign(key)).expect(200);
    let other = scene.world.host("web-02");
    let other_key = token::key_pair(&other.cli.key_file());
    let other_token = Token::parse(&other.cli.token());
    use aws_lc_rs::signature::KeyPair as _;
    let public = key.public_key().as_ref().to_vec();
    // Whoever follows an address in a token is seen here.
    let recorder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let elsewhere = format!("http://{}", recorder.local_addr().expect("bound"));
    let own_key = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(other_key.public_key().as_ref())});

    let mut bad: Vec<(String, String)> = vec![
        ("nothing".into(), String::new()),
        ("no JWT".into(), "abc".into()),
        ("two parts".into(), good.signing_input()),
        ("no signature".into(), good.unsigned()),
        ("another key".into(), good.sign(&other_key)),
        ("somebody else's sub".into(), good.clone().with_claim("sub", other_token.claims["sub"].clone()).sign(key)),
        ("somebody else's kid".into(), good.clone().with_header("kid", other_token.header["kid"].clone()).sign(key)),
        ("an unknown kid".into(), good.clone().with_header("kid", "x".repeat(43)).sign(key)),
        ("crit".into(), good.clone().with_header("crit", json!(["exp"])).sign(key)),
        ("jwk".into(), good.clone().with_header("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"})).sign(key)),
        ("the key it was signed with".into(), good.clone().with_header("jwk", own_key).sign(&other_key)),
        ("jku".into(), good.clone().with_header("jku", format!("{elsewhere}/keys")).sign(key)),
        ("jku of another key".into(), good.clone().with_header("jku", format!("{elsewhere}/keys")).sign(&other_key)),
        ("x5u".into(), good.clone().with_header("x5u", format!("{elsewhere}/cert")).sign(key)),
        ("x5u of another key".into(), good.clone().with_header("x5u", format!("{elsewhere}/cert")).sign(&other_key)),
        ("kid an address".into(), good.clone().with_header("kid", format!("{elsewhere}/kid")).sign(key)),
        ("aud of the recorder".into(), good.clone().with_claim("aud", elsewhere.clone()).sign(key)),
        ("nbf, a claim that is none".into(), good.clone().with_claim("nbf", now()).sign(key)),
        ("scope null".into(), good.clone().with_claim("scope", json!(null)).sign(key)),
        ("another typ".into(), good.clone().with_header("typ", "JWT").sign(key)),
        ("HMAC".into(), good.clone().with_header("alg", "HS256").sign_hs256(&public)),
        ("aud missing".into(), good.clone().without_claim("aud").sign(key)),
        ("aud of elsewhere".into(), good.clone().with_claim("aud", "http://127.0.0.1:1").sign(key)),
        ("aud a list".into(), good.clone().with_claim("aud", json!([good.claims["aud"]])).sign(key)),
        ("exp missing".into(), good.clone().without_claim("exp").sign(key)),
        ("exp text".into(), good.clone().with_claim("exp", (now() + 60).to_string()).sign(key)),
        ("exp float".into(), good.clone().with_claim("exp", now() as f64 + 60.5).sign(key)),
        ("exp huge".into(), good.clone().with_claim("exp", u64::MAX).sign(key)),
        ("life too long".into(), good.clone().with_claim("iat", now()).with_claim("exp", now() + 7200).sign(key)),
        ("iat missing".into(), good.clone().without_claim("iat").sign(key)),
        ("iat text".into(), good.clone().with_claim("iat", now().to_string()).sign(key)),
        ("sub missing".into(), good.clone().without_claim("sub").sign(key)),
        ("too long".into(), good.clone().with_claim("x", "x".repeat(3000)).sign(key)),
    ];
    for algorithm in ["none", "None", "nOnE", "ES256", "RS256", "Ed448", ""] {
        bad.push((format!("alg {algorithm}"), good.clone().with_header("alg", algorithm).sign(key)));
        bad.push((format!("alg {algorithm}, unsigned"), good.clone().with_header("alg", algorithm).unsigned()));
    }
    let claims = good.claims.to_string();
    let twice = format!("{},\"sub\":{}}}", &claims[..claims.len() - 1], other_token.claims["sub"]);
    let input = format!("{}.{}", part(&good.header.to_string()), part(&twice));
    bad.push(("a claim twice".into(), token::sign_input(&input, key)));
    let mut header = good.header.clone();
    header.as_object_mut().expect("a header is an object").remove("alg");
    let input = format!("{}.{}", part(&header.to_string()), part(&claims));
    bad.push(("alg missing".into(), token::sign_input(&input, key)));

    let mut texts = Vec::new();
    for (what, jwt) in &bad {
        let answer = scene.get(jwt);
        assert_eq!((answer.status, answer.code().as_str()), (403, "AccessDenied"), "{what}: {answer}");
        if !what.starts_with("exp") && !what.starts_with("iat") && !what.starts_with("aud") && !what.contains("life") {
            texts.push((what, xml_values(&answer.text(), "Message")));
        }
    }
    for (what, text) in &texts {
        assert_eq!(text, &texts[0].1, "before a signature verifies every failure reads the same: {what}");
    }
    // The first to connect there are we.
    let ours = TcpStream::connect(recorder.local_addr().expect("bound")).expect("it listens");
    let (_, first) = recorder.accept().expect("somebody connected");
    assert_eq!(first, ours.local_addr().expect("connected"), "the server has followed an address in a token");
}

#[test]
fn clocks_are_judged_with_five_minutes_of_patience() {
    let scene = scene();
    let at = |iat: u64, exp: u64| scene.good.clone().with_claim("iat", iat).with_claim("exp", exp).sign(&scene.key);
    let now = now();
    scene.get(&at(now + 200, now + 400)).expect(200);
    scene.get(&at(now - 600, now - 200)).expect(200);
    let expired = scene.get(&at(now - 1200, now - 600)).expect_error(400, "ExpiredToken");
    assert!(expired.header("date").is_some());
    let ahead = scene.get(&at(now + 900, now + 1200)).expect_error(403, "RequestTimeTooSkewed");
    assert!(ahead.header("date").is_some());
}

#[test]
fn a_registration_token_opens_nothing_and_is_good_once() {
    let scene = scene();
    let id = scene.world.create_user("carol");
    let carol = scene.world.cli("carol");
    let (mut login, registration) = carol.begin_login(&id, &scene.world.server.origin(), &[]);
    scene.get(&registration).expect_error(403, "AccessDenied");
    let access = scene.host.cli.token();
    scene.world.server.operator(&["keys", "register", &access, "--yes"]).failed();
    scene.world.server.operator(&["keys", "register", &registration, "--yes"]).ok();
    scene.world.server.operator(&["keys", "register", &registration, "--yes"]).failed();
    assert!(login.wait(kheeper_e2e::wait::secs(30)).success(), "{}", login.log());
}

#[test]
fn credentials_of_other_kinds_are_told_what_to_do() {
    let scene = scene();
    let address = scene.world.server.address();
    let path = scene.host.path("a");
    let sigv4 = Request::new("GET", &path).header("Authorization", DUMMY_AUTHORIZATION).send(address);
    assert!(sigv4.clone().expect_error(403, "AccessDenied").text().contains("kheeper object-proxy"), "{sigv4}");
    let two = Request::new("GET", &path)
        .header("Authorization", &format!("Bearer {}", scene.host.cli.token()))
        .header("Authorization", "Bearer x")
        .send(address);
    assert!(matches!(two.status, 400 | 403), "{two}");
    let presigned = format!("{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Signature=b");
    assert_eq!(Request::new("GET", &presigned).send(address).status, 403);
    for header in ["X-Forwarded-User", "X-Kheeper-Host", "X-Amz-Security-Token"] {
        assert_eq!(Request::new("GET", &path).header(header, "web-01").send(address).status, 403);
    }
}

#[test]
fn a_token_of_any_size_is_refused_before_it_is_decoded() {
    let scene = scene();
    for bytes in [2_000, 2_049, 8 << 10, 32 << 10] {
        let long = scene.good.clone().with_claim("x", "x".repeat(bytes)).sign(&scene.key);
        scene.get(&long).expect_error(403, "AccessDenied");
    }
    // Beyond what a head may have, nobody looks at what is in it.
    let address = scene.world.server.address();
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = String::from_utf8_lossy(&kheeper_e2e::http::raw(address, head.as_bytes())).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    scene.get(&scene.good.sign(&scene.key)).expect(200);
}

#[test]
fn a_token_for_one_server_opens_nothing_on_another_that_knows_the_same_key() {
    let scene = scene();
    let other = World::start();
    let public = scene.world.path("public.pem");
    std::fs::write(&public, token::public_pem(&scene.key)).expect("the world has a directory");
    let public = public.to_str().expect("a path of text");
    let created = other.alice.json(&["hosts", "create", "myorg/web-01", "--public-key-file", public]);
    let id = created["id"].as_str().or(created["host"]["id"].as_str()).unwrap_or_else(|| panic!("no id in {created}"));
    let there = scene.good.clone().with_claim("sub", id);
    let get = |jwt: &str| Door::direct(other.server.address(), jwt).get("/myorg/web-01/a");
    get(&there.sign(&scene.key)).expect_error(403, "AccessDenied");
    // The audience is all that was wrong with it.
    get(&there.with_claim("aud", other.server.origin()).sign(&scene.key)).expect_error(404, "NoSuchKey");
}

#[test]
fn of_hosts_that_race_for_one_join_token_exactly_one_wins() {
    let world = World::start();
    let token = world.invite("web-01");
    let racers: Vec<_> = (0..4).map(|number| world.cli(&format!("racer-{number}"))).collect();
    let results: Vec<_> = std::thread::scope(|scope| {
        let joins: Vec<_> = racers.iter().map(|cli| scope.spawn(|| cli.run(&["hosts", "join", &token]))).collect();
        joins.into_iter().map(|join| join.join().expect("a join ends")).collect()
    });
    let winners: Vec<_> = racers.iter().zip(&results).filter(|(_, done)| done.status.success()).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    for lost in results.iter().filter(|done| !done.status.success()) {
        assert!(lost.stderr.contains("token") && !lost.stderr.contains("500"), "it says what is wrong: {lost}");
    }
    let (winner, _) = winners[0];
    world.direct(winner).put("/myorg/web-01/a", b"mine").expect(200);
    for (racer, _) in racers.iter().zip(&results).filter(|(_, done)| !done.status.success()) {
        racer.run(&["hosts", "join", &token]).failed();
    }
}

/// Names that a reader, or a careless comparison, would take for `web-01`.
const LOOK_ALIKES: [&str; 9] =
    ["Web-01", "WEB-01", "web-01-", "-web-01", "web_01", "web-01.", "w\u{435}b-01", "\u{ff57}eb-01", "web\u{2010}01"];

#[test]
fn a_name_that_looks_like_another_is_another_or_none() {
    let scene = scene();
    let token = scene.good.sign(&scene.key);
    let door = Door::direct(scene.world.server.address(), &token);
    for name in LOOK_ALIKES {
        let name = kheeper_e2e::s3::percent(name);
        door.get(&format!("/myorg/{name}/a")).expect_error(403, "AccessDenied");
        door.put(&format!("/myorg/{name}/a"), b"x").expect_error(403, "AccessDenied");
        door.get(&format!("/myorg?list-type=2&prefix={name}/")).expect_error(403, "AccessDenied");
    }
    for name in ["MyOrg", "MYORG", "myorg-", "-myorg", "my_org", "my\u{43e}rg", "\u{ff4d}yorg", "myorg%2e"] {
        let name = if name.contains('%') { name.to_owned() } else { kheeper_e2e::s3::percent(name) };
        // No org can be called so: nothing is looked up.
        door.get(&format!("/{name}/web-01/a")).expect_error(403, "AccessDenied");
    }
    // One that could be called so is somebody else's, whether it is there or not.
    for name in ["my-org", "myorg-0", "myorgs"] {
        door.get(&format!("/{name}/web-01/a")).expect_error(403, "AccessDenied");
    }
}

#[test]
fn no_host_org_or_user_is_made_under_a_name_that_looks_like_another() {
    let world = World::start();
    world.invite("web-01");
    world.create_user("web-01");
    world.alice.ok(&["orgs", "create", "web-01"]);
    let names = LOOK_ALIKES.into_iter().chain(["", " web-01", "web-01 ", "web-01/x", "web-01\n"]);
    let alice = format!("Bearer {}", world.alice.token());
    for name in names {
        // By the API, which is what counts: the same answer for both, with its reason.
        for (route, body) in [("hosts", json!({ "org": "myorg", "host": name })), ("orgs", json!({ "name": name }))] {
            let request = Request::new("POST", &format!("/-/api/v1/{route}")).header("Authorization", &alice);
            let request = request.header("Content-Type", "application/json").body(body.to_string());
            let answer = request.send(world.server.address()).expect(422);
            assert_eq!(answer.json()["type"], "urn:kheeper:problem:malformed-body", "{route} {name:?}: {answer}");
            assert!(answer.json()["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
        }
        // By the commands, which know what a name is before they ask.
        let host = format!("myorg/{name}");
        for (what, refused) in [
            ("host", world.alice.run(&["hosts", "create", &host])),
            ("org", world.alice.run(&["orgs", "create", "--", name])),
            ("user", world.server.operator(&["users", "create", name])),
        ] {
            let refused = refused.failed();
            assert_eq!(refused.code(), 2, "{what} {name:?}: {refused}");
            assert!(refused.stderr.contains("invalid value") || name.starts_with('-'), "{what} {name:?}: {refused}");
        }
    }
    for (what, count) in [(&["hosts", "list", "--org", "myorg"][..], 1), (&["orgs", "list"], 2)] {
        assert_eq!(world.alice.json(what).as_array().map(Vec::len), Some(count), "{what:?}");
    }
    let users = world.server.operator_json(&["users", "list"]);
    assert_eq!(users.as_array().map(Vec::len), Some(2), "{users}");
}

#[test]
fn a_flood_of_bad_tokens_is_refused_one_after_the_other_and_a_good_one_passes_it() {
    /// What `refusal_turns.rs` of the server says: so many at once, then one in five milliseconds.
    const AT_ONCE: u32 = 500;
    const INTERVAL: Duration = Duration::from_millis(5);
    const FLOOD: u32 = 1000;
    const CONNECTIONS: u32 = 10;
    let scene = scene();
    let (stranger, _) = token::new_key_pair();
    let bad = scene.good.sign(&stranger);
    let begun = Instant::now();
    thread::scope(|threads| {
        for _ in 0..CONNECTIONS {
            threads.spawn(|| {
                for _ in 0..FLOOD / CONNECTIONS {
                    scene.get(&bad).expect(403);
                }
            });
        }
        // Each of its answers comes while they wait for theirs.
        for _ in 0..100 {
            scene.get(&scene.good.sign(&scene.key)).expect(200);
        }
    });
    // A machine that is slow takes longer: that it takes so long at the least is what the turns are for.
    let least = INTERVAL * (FLOOD - AT_ONCE - CONNECTIONS);
    assert!(begun.elapsed() >= least, "{FLOOD} were refused in {:?}, which is less than {least:?}", begun.elapsed());
}
