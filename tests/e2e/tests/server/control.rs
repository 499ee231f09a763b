//! The control API and what is beside it.

use kheeper_e2e::{Request, World};

#[test]
fn health_is_open_and_the_api_is_not() {
    let world = World::start();
    let address = world.server.address();
    Request::new("GET", "/-/healthz").send(address).expect(200);
    Request::new("GET", "/-/readyz").send(address).expect(200);
    for path in ["/-/api/v1/whoami", "/-/api/v1/orgs", "/-/api/v1/hosts", "/-/api/v1/usage"] {
        let answer = Request::new("GET", path).send(address).expect(403);
        let problem = answer.json();
        assert_eq!(problem["status"], 403, "{answer}");
        assert!(problem["type"].is_string() && problem["detail"].is_string(), "{answer}");
    }
    let document = Request::new("GET", "/-/api/v1/openapi.json").send(address);
    if document.status == 200 {
        assert!(document.json()["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    } else {
        let token = format!("Bearer {}", world.alice.token());
        let signed = Request::new("GET", "/-/api/v1/openapi.json").header("Authorization", &token).send(address);
        assert!(signed.expect(200).json()["paths"].is_object());
    }
    let nothing = Request::new("GET", "/-/nothing").send(address);
    assert!(matches!(nothing.status, 403 | 404), "{nothing}");
}

#[test]
fn a_host_sees_itself_and_an_owner_sees_the_org() {
    let world = World::start();
    let (web_01, _web_02) = (world.host("web-01"), world.host("web-02"));
    let bob = world.other_owner("bob", "otherorg");
    let api = |cli: &kheeper_e2e::Cli, method: &str, path: &str, body: Option<&str>| {
        let request = Request::new(method, path).header("Authorization", &format!("Bearer {}", cli.token()));
        let request = match body {
            Some(body) => request.header("Content-Type", "application/json").body(body),
            None => request,
        };
        request.send(world.server.address())
    };
    let me = api(&web_01.cli, "GET", "/-/api/v1/whoami", None).expect(200).json();
    assert_eq!(
        (me["kind"].as_str(), me["org"].as_str(), me["host"].as_str()),
        (Some("host"), Some("myorg"), Some("web-01"))
    );
    let names = |answer: kheeper_e2e::Response| -> Vec<String> {
        let hosts = answer.expect(200).json();
        hosts.as_array().expect("a list").iter().map(|host| host["host"].as_str().unwrap_or("").to_owned()).collect()
    };
    assert_eq!(names(api(&world.alice, "GET", "/-/api/v1/hosts?org=myorg", None)), ["web-01", "web-02"]);
    let seen = api(&web_01.cli, "GET", "/-/api/v1/hosts", None);
    if seen.status == 200 {
        assert_eq!(names(seen), ["web-01"]);
    } else {
        seen.expect(403);
    }
    for cli in [&web_01.cli, &bob] {
        for (method, path, body) in [
            ("GET", "/-/api/v1/hosts/myorg/web-02", None),
            ("POST", "/-/api/v1/hosts/myorg/web-02/disable", Some("{}")),
            ("POST", "/-/api/v1/hosts/myorg/web-02/revoke", Some("{}")),
            ("POST", "/-/api/v1/hosts/myorg/web-02/rejoin", Some("{}")),
            ("DELETE", "/-/api/v1/hosts/myorg/web-02", None),
            ("POST", "/-/api/v1/hosts", Some("{\"org\":\"myorg\",\"host\":\"web-03\"}")),
            ("GET", "/-/api/v1/usage?org=myorg&host=web-02", None),
        ] {
            let answer = api(cli, method, path, body);
            assert!(matches!(answer.status, 403 | 404), "{method} {path}: {answer}");
        }
    }
    let bad = api(&world.alice, "POST", "/-/api/v1/hosts", Some("{\"org\":\"myorg\",\"host\":\"Not A Name\"}"));
    assert_eq!(bad.status / 100, 4, "{bad}");
    let taken = api(&world.alice, "POST", "/-/api/v1/hosts", Some("{\"org\":\"myorg\",\"host\":\"web-01\"}"));
    assert_eq!(taken.status / 100, 4, "{taken}");
    let usurped = api(&bob, "POST", "/-/api/v1/orgs", Some("{\"name\":\"myorg\"}"));
    assert_eq!(usurped.status / 100, 4, "{usurped}");
}
