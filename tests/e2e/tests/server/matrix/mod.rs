//! Caller × operation × target, and caller × route × target: every cell is a request, and what it should come to follows
//! from one statement of rights ([`callers::Caller::right`]). What is refused has not touched the store: a counter says so.
//!
//! An operation without a row does not compile, a sub-resource comes from the one list that the server reads, and a route
//! of the control API without a row fails here, as one that its document does not name fails in `tests/tidy`.

mod callers;
mod operations;
mod routes;

use callers::{Aim, Caller, Right, STORED, Scene, Target};
use kheeper_e2e::s3::xml_values;
use kheeper_e2e::{Door, Request, Response};
use kheeper_s3::OperationKind;
use operations::{Needs, Row};

/// A user that is not there.
const NO_USER: &str = "usr_00000000000000000000000000000000";
/// So often it is the id of a key, which nobody has.
const NO_KEY: &str = "A";

/// What a run came to, for the line it ends with.
#[derive(Default)]
struct Tally {
    cells: usize,
    passed: usize,
    refused: usize,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cells, passed, refused } = self;
        write!(f, "{cells} cells: {passed} allowed, {refused} refused, none of which touched the store")
    }
}

#[test]
fn every_operation_is_for_those_who_have_the_right_and_for_nobody_else() {
    let scene = Scene::start();
    let rows: Vec<Row> = OperationKind::ALL.iter().flat_map(|kind| operations::rows(*kind)).collect();
    let mut tally = Tally::default();
    for (caller, door) in &scene.doors {
        for target in Target::ALL {
            // The host's own namespace is the one that it lends.
            if (*caller, target) == (Caller::Host, Target::Lent) {
                continue;
            }
            for row in rows.iter().filter(|row| row.needs != Needs::Identity || target == Target::OrgRoot) {
                let aim = scene.aim(*caller, door, target);
                let cell = format!("{caller:?} {} {target:?}", row.name);
                let request = (row.build)(&aim);
                tally.cells += 1;
                if operations::allowed(*caller, row.needs, target) {
                    let before = scene.operations();
                    let answer = request.send(door.address);
                    assert_eq!(answer.status, row.status, "{cell}: {answer}");
                    // A counter that stood still would prove nothing of what is refused.
                    let looks = !matches!(row.needs, Needs::Identity | Needs::Bucket) && row.status != 501;
                    let after = scene.operations();
                    assert!(!looks || after > before, "{cell} was not counted");
                    assert!(row.status != 501 || after == before, "{cell} is none of ours, and looked: {answer}");
                    assert_nothing_foreign(*caller, &answer, &cell);
                    tally.passed += 1;
                } else {
                    refused(&scene, &request, door, 403, &cell);
                    tally.refused += 1;
                }
            }
        }
    }
    assert_nothing_happened(&scene);
    println!("operations × callers × targets: {tally}");
}

#[test]
fn what_is_no_operation_of_ours_is_501_for_who_may_look_and_403_for_the_rest() {
    let scene = Scene::start();
    let mut tally = Tally::default();
    for (caller, door) in &scene.doors {
        for target in [Target::Own, Target::Sibling, Target::OtherOrg] {
            let aim = scene.aim(*caller, door, target);
            let (object, bucket) = (aim.path("object"), format!("/{}", aim.bucket));
            let on_object = if caller.right(target) == Right::Nothing { 403 } else { 501 };
            let on_bucket = if caller.is_in_the_org_of(target) { 501 } else { 403 };
            for name in operations::refused_sub_resources() {
                for method in ["GET", "PUT", "DELETE", "POST"] {
                    for (path, status) in [(&object, on_object), (&bucket, on_bucket)] {
                        let request = door.request(method, &format!("{path}?{name}"));
                        let request = if matches!(method, "PUT" | "POST") { request.body("<X/>") } else { request };
                        refused(&scene, &request, door, status, &format!("{caller:?} {method} {path}?{name}"));
                        tally.cells += 1;
                        tally.refused += 1;
                    }
                }
            }
        }
    }
    assert_nothing_happened(&scene);
    println!("sub-resources × callers × targets: {tally}");
}

#[test]
fn every_route_of_the_control_api_is_for_those_who_have_the_right_and_for_nobody_else() {
    let scene = Scene::start();
    let document = Door::anonymous(scene.world.server.address()).get("/-/api/v1/openapi.json").expect(200).json();
    let calls = routes::calls(&document);
    let mut tally = Tally::default();
    // Those who can end others come last.
    let (people, others): (Vec<_>, Vec<_>) = scene.doors.iter().partition(|(caller, _)| caller.is_person());
    for (caller, door) in others.into_iter().chain(people.into_iter().rev()) {
        for target in [Target::Own, Target::Sibling, Target::Lent, Target::OtherOrg, Target::NoOrg] {
            let aim = scene.aim(*caller, door, target);
            for call in &calls {
                let cell = format!("{caller:?} {} {} {target:?}", call.method, call.path);
                let request = call.request(&aim, &scene.grant);
                tally.cells += 1;
                if routes::allowed(*caller, call.needs, target) {
                    let before = scene.operations();
                    let answer = request.send(door.address);
                    assert!(call.statuses.contains(&answer.status), "{cell}: {answer}");
                    // A counter that stood still would prove nothing of what is refused.
                    assert!(!call.looks() || scene.operations() > before, "{cell} was not counted");
                    tally.passed += 1;
                } else {
                    refused(&scene, &request, door, 403, &cell);
                    tally.refused += 1;
                }
            }
        }
    }
    println!("routes × callers × targets: {tally}");
}

#[test]
fn a_route_has_the_methods_of_its_document_and_no_others() {
    let scene = kheeper_e2e::World::start();
    let door = scene.direct(&scene.alice);
    let document = door.get("/-/api/v1/openapi.json").expect(200).json();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let path = path
            .replace("{org}", "myorg")
            .replace("{host}", "web-01")
            .replace("{action}", "resume")
            .replace("{user}", NO_USER)
            .replace("{key_id}", &NO_KEY.repeat(43));
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let answer = door.request(method, &path).send(door.address);
            let listed = methods.get(method.to_ascii_lowercase()).is_some();
            assert_eq!(answer.status != 405, listed, "{method} {path}: {answer}");
        }
    }
}

#[track_caller]
fn refused(scene: &Scene, request: &Request, door: &Door, status: u16, cell: &str) {
    let before = scene.operations();
    let answer = request.send(door.address);
    assert_eq!(answer.status, status, "{cell}: {answer}");
    if request.method != "HEAD" && status == 403 && !request.target.starts_with("/-/") {
        assert_eq!(answer.code(), "AccessDenied", "{cell}: {answer}");
    }
    assert_eq!(scene.operations(), before, "{cell} was refused only after it had touched the store: {answer}");
}

/// Whatever a listing was asked for, it names what the caller may read.
#[track_caller]
fn assert_nothing_foreign(caller: Caller, answer: &Response, cell: &str) {
    let text = answer.text();
    if !text.contains("<List") {
        return;
    }
    let keys = xml_values(&text, "Key").into_iter();
    let prefixes =
        text.split("<CommonPrefixes>").skip(1).flat_map(|entry| xml_values(entry, "Prefix").into_iter().take(1));
    for named in keys.chain(prefixes) {
        let own = caller.sees().iter().any(|host| named.starts_with(host) || host.starts_with(&named));
        assert!(own, "{cell} shows {named}: {answer}");
    }
}

/// What nobody had the right to change is as it was.
fn assert_nothing_happened(scene: &Scene) {
    let (_, owner) = scene.doors.iter().find(|(caller, _)| *caller == Caller::Owner).expect("the owner calls");
    for host in ["web-011", "frozen", "disabled", "revoked"] {
        let prefix = format!("{host}/");
        let keys = ["doomed", "doomed-too", "object", "source"].map(|name| format!("{prefix}{name}"));
        assert_eq!(owner.keys("myorg", &prefix, 100), keys);
        let read = owner.get(&format!("/myorg/{host}/object")).expect(200);
        assert_eq!((read.body.as_slice(), read.header("x-amz-tagging-count")), (STORED, None));
    }
}

impl routes::Call {
    fn request(&self, aim: &Aim<'_>, grant: &str) -> Request {
        let host = aim.prefix.trim_end_matches('/');
        let path = self
            .path
            .replace("{org}", aim.bucket)
            .replace("{host}", host)
            .replace("{id}", grant)
            .replace("{user}", NO_USER)
            .replace("{key_id}", &NO_KEY.repeat(43));
        let request = aim.door.request(self.method, &(path + &self.query.replace("{org}", aim.bucket)));
        match self.body {
            "" => request,
            body => {
                let body = body.replace("{org}", aim.bucket).replace("{host}", host);
                request.header("Content-Type", "application/json").body(body)
            }
        }
    }
}
