//! The rows of the control API: one for each method of each path that its document names.

use serde_json::Value;

use super::callers::{Caller, Right, Target};

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing, or a credential of its own in the body.
    Nothing,
    Identity,
    /// To be a person whose token is not narrowed.
    Person,
    /// To be somebody whose token is not narrowed.
    Whole,
    /// The same, and to belong to the org.
    Member,
    /// To own or audit the org.
    View,
    /// To be the host, or a person who may see it.
    SeeHost,
    /// The same, but for auditors.
    ListHost,
    Owner,
    /// To be its owner, or the host itself.
    OwnerOrItself,
    /// To be the host.
    Itself,
}

/// One call.
pub(super) struct Call {
    pub(super) method: &'static str,
    /// With `{org}`, `{host}` and `{id}` in place of the target's.
    pub(super) path: String,
    pub(super) query: &'static str,
    pub(super) body: &'static str,
    pub(super) needs: Needs,
    /// What it may come to where it is allowed: also that it makes no sense.
    pub(super) statuses: &'static [u16],
}

impl Call {
    /// Whether what it is answered with comes from the store: all but the document itself, what is known of a caller
    /// once they are let in, and a join with a secret that is none.
    pub(super) fn looks(&self) -> bool {
        !["/openapi.json", "/whoami", "/join"].iter().any(|path| self.path.ends_with(path))
    }
}

/// Whether `caller` may make a call that needs `needs` at `target`.
pub(super) fn allowed(caller: Caller, needs: Needs, target: Target) -> bool {
    let owner = matches!(caller, Caller::Owner | Caller::OtherOwner);
    let itself = matches!(caller.right(target), Right::Write | Right::ReadOwn);
    let reads = itself || (caller.is_person() && caller.right(target) == Right::Read);
    let auditor = caller == Caller::Auditor && !matches!(target, Target::OtherOrg | Target::NoOrg);
    match needs {
        Needs::Nothing => true,
        Needs::Identity => caller.is_known(),
        Needs::Person => owner || caller == Caller::Auditor,
        Needs::Whole => caller.is_known() && caller != Caller::NarrowedOwner,
        Needs::Member => auditor || (caller.is_in_the_org_of(target) && caller != Caller::NarrowedOwner),
        Needs::View => auditor || (owner && caller.is_in_the_org_of(target)),
        Needs::SeeHost => auditor || reads,
        Needs::ListHost => reads,
        Needs::Owner => owner && caller.is_in_the_org_of(target),
        Needs::Itself => itself,
        Needs::OwnerOrItself => itself || (owner && caller.is_in_the_org_of(target)),
    }
}

/// A key that is nobody's.
const JOIN: &str = r#"{"secret":"nothing","public_key_pem":"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"}"#;

/// The same key, for a host to add to its own.
const ADD_KEY: &str = r#"{"public_key_pem":"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"}"#;

/// What a row says beside the route: query, body, what it needs, what it comes to.
type Row = (&'static str, &'static str, Needs, &'static [u16]);

/// The row of a route. A route without one is a test that somebody forgot.
fn row(method: &str, path: &str) -> Row {
    match (method, path) {
        ("GET", "/openapi.json") => ("", "", Needs::Nothing, &[200]),
        ("GET", "/whoami") => ("", "", Needs::Identity, &[200]),
        ("GET", "/orgs") => ("", "", Needs::Person, &[200]),
        ("POST", "/orgs") => ("", r#"{"name":"myorg"}"#, Needs::Person, &[409]),
        ("POST", "/orgs/{org}/set") => ("", "{}", Needs::Owner, &[200]),
        ("GET", "/audit") => ("?org={org}", "", Needs::View, &[200]),
        ("GET", "/orgs/{org}/members") => ("", "", Needs::View, &[200]),
        ("PUT", "/orgs/{org}/members/{user}") => ("", r#"{"role":"auditor"}"#, Needs::Owner, &[404]),
        ("DELETE", "/orgs/{org}/members/{user}") => ("", "", Needs::Owner, &[200, 404]),
        ("GET", "/hosts" | "/usage" | "/grants") => ("?org={org}", "", Needs::Member, &[200]),
        ("POST", "/hosts") => ("", r#"{"org":"{org}","host":"{host}"}"#, Needs::Owner, &[409]),
        ("GET", "/hosts/{org}/{host}") => ("", "", Needs::SeeHost, &[200]),
        ("GET", "/hosts/{org}/{host}/objects") => ("", "", Needs::ListHost, &[200]),
        ("DELETE", "/hosts/{org}/{host}") => ("", "", Needs::Owner, &[409]),
        ("POST", "/hosts/{org}/{host}/restore") => ("", r#"{"dry_run":true}"#, Needs::Owner, &[200]),
        ("POST", "/hosts/{org}/{host}/set") => ("", "{}", Needs::Owner, &[200]),
        ("POST", "/hosts/{org}/{host}/resume") => ("", "{}", Needs::OwnerOrItself, &[200, 409]),
        ("POST", "/hosts/{org}/{host}/rejoin" | "/hosts/{org}/{host}/disable") => ("", "{}", Needs::Owner, &[200]),
        ("POST", "/hosts/{org}/{host}/enable" | "/hosts/{org}/{host}/revoke") => ("", "{}", Needs::Owner, &[200]),
        ("POST", "/hosts/{org}/{host}/undelete") => ("", "{}", Needs::Owner, &[200, 409]),
        ("POST", "/grants") => {
            ("", r#"{"org":"{org}","host":"{host}","to":"no-such","secs":60}"#, Needs::Owner, &[404])
        }
        ("DELETE", "/grants/{org}/{id}") => ("", "", Needs::Owner, &[200, 404]),
        ("GET", "/keys") => ("", "", Needs::Whole, &[200]),
        ("POST", "/keys/{key_id}/revoke") => ("", "", Needs::Person, &[404]),
        ("POST", "/hosts/{org}/{host}/keys") => ("", ADD_KEY, Needs::Itself, &[200, 409]),
        ("POST", "/hosts/{org}/{host}/keys/retire") => ("", r#"{"secs":86400}"#, Needs::Itself, &[200]),
        ("POST", "/join") => ("", JOIN, Needs::Nothing, &[403]),
        _ => panic!("{method} {path} has no row: say who may call it"),
    }
}

/// Every route of the document; `{action}` stands for each of its values.
pub(super) fn calls(document: &Value) -> Vec<Call> {
    let mut calls = Vec::new();
    for (full, operations) in document["paths"].as_object().expect("a document has paths") {
        let path = full.strip_prefix("/-/api/v1").expect("all of it is below /-/api/v1");
        for (method, operation) in operations.as_object().expect("a path has methods") {
            let method = match method.as_str() {
                "get" => "GET",
                "post" => "POST",
                "put" => "PUT",
                "delete" => "DELETE",
                other => panic!("{path} has a method {other}"),
            };
            for path in spelled_out(path, operation) {
                let (query, body, needs, statuses) = row(method, &path);
                if needs == Needs::Member {
                    // Without an org it is about all that the caller belongs to.
                    let path = format!("/-/api/v1{path}");
                    calls.push(Call { method, path, query: "", body, needs: Needs::Whole, statuses });
                }
                calls.push(Call { method, path: format!("/-/api/v1{path}"), query, body, needs, statuses });
            }
        }
    }
    calls
}

fn spelled_out(path: &str, operation: &Value) -> Vec<String> {
    if !path.contains("{action}") {
        return vec![path.to_owned()];
    }
    let parameters = operation["parameters"].as_array().expect("an action is a parameter");
    let action = parameters.iter().find(|parameter| parameter["name"] == "action").expect("an action is described");
    let values = action["schema"]["enum"].as_array().expect("the document lists the actions");
    values.iter().map(|value| path.replace("{action}", value.as_str().expect("an action is text"))).collect()
}
