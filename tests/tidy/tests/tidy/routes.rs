//! The control API's document names every route of its router, so that what is made from the document leaves none out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kheeper_tidy::{files, repository, shown};

const CONTROL: &str = "crates/kheeper-server/src/control";
const API: &str = "/-/api/v1";

#[test]
fn every_route_of_the_router_is_in_the_document_and_every_other_way_round() {
    let router = read(&repository().join(CONTROL).join("mod.rs"));
    let document: serde_json::Value =
        serde_json::from_str(&read(&repository().join(CONTROL).join("openapi.json"))).expect("it is JSON");
    let documented = document["paths"].as_object().expect("a document has paths").iter().flat_map(|(path, methods)| {
        methods.as_object().expect("a path has methods").keys().map(move |method| format!("{method} {path}"))
    });
    let documented: BTreeSet<String> = documented.collect();
    assert_eq!(routes(&router), documented);
}

/// A route that is made elsewhere would be one that this test does not see.
#[test]
fn routes_are_made_in_one_place() {
    let server = repository().join("crates/kheeper-server/src");
    let other: Vec<String> = files()
        .expect("the repository can be read")
        .iter()
        .filter(|path| path.starts_with(&server) && !path.ends_with("control/mod.rs"))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| [".route(", ".nest(", "Router::new("].iter().any(|call| read(path).contains(call)))
        .map(|path| shown(path))
        .collect();
    assert!(other.is_empty(), "routes are made in {other:?} too");
}

#[test]
fn the_reader_of_routers_reads_methods_that_are_chained_or_merged() {
    let text = ".route(\"/a\", get(a::a).post(b))\n.route(\n    \"/b/{c}\",\n    get(b::get).merge(delete(b::delete)),\n);\n.route(\"/-/healthz\", get(x))";
    let expected = ["delete /-/api/v1/b/{c}", "get /-/api/v1/a", "get /-/api/v1/b/{c}", "post /-/api/v1/a"];
    assert_eq!(routes(text).into_iter().collect::<Vec<_>>(), expected);
}

/// `get /-/api/v1/hosts` and so on, from the calls of `route`. What is beside the API begins with `/-/`.
fn routes(router: &str) -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    for call in router.split(".route(").skip(1) {
        let mut quoted = call.split('"');
        let path = quoted.nth(1).expect("a route has a path");
        let handlers = quoted.next().unwrap_or_default().split(';').next().unwrap_or_default();
        for method in ["get", "post", "put", "delete", "patch"] {
            let named = handlers.match_indices(&format!("{method}(")).any(|(at, _)| {
                let before = handlers[..at].chars().next_back().unwrap_or(' ');
                !(before.is_alphanumeric() || before == '_' || before == ':')
            });
            if named && !path.starts_with("/-/") {
                routes.insert(format!("{method} {API}{path}"));
            }
        }
    }
    routes
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", shown(path)))
}
