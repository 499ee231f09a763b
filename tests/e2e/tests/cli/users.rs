//! People: logging in, contexts, and the operator who lets them in.

use kheeper_e2e::wait::secs;
use kheeper_e2e::{Door, World};

#[test]
fn people_log_in_list_and_switch_contexts() {
    let world = World::start();
    let orgs = world.alice.json(&["orgs", "list"]);
    assert_eq!(orgs[0]["name"], "myorg");
    assert!(world.alice.run(&["orgs", "create", "myorg"]).failed().code() != 0);
    world.alice.run(&["orgs", "create", "ab"]).failed();
    let id = world.create_user("carol");
    let (mut login, token) = world.alice.begin_login(&id, &world.server.origin(), &["--context", "carol"]);
    let registered = world.server.operator(&["keys", "register", &token, "--yes"]).ok();
    assert!(login.wait(secs(30)).success(), "{}", login.log());
    // Both sides show the same fingerprint, for two people on the telephone.
    let log = login.log();
    let (_, fingerprint) = log.split_once("fingerprint: ").expect("login shows it");
    let fingerprint = fingerprint.lines().next().unwrap_or_default();
    assert!(fingerprint.len() > 20 && registered.text().contains(fingerprint), "{log}\n{registered}");
    let contexts = world.alice.json(&["contexts", "list"]).to_string();
    assert!(contexts.contains("carol") && contexts.contains("default"), "{contexts}");
    world.alice.ok(&["contexts", "set", "carol"]);
    let by_default = world.alice.ok(&["auth", "token"]).stdout;
    let carol = kheeper_e2e::token::Token::parse(&by_default);
    assert_eq!(carol.claims["sub"], id.as_str());
    let explicit = world.alice.ok(&["--context", "default", "auth", "token"]).stdout;
    assert_ne!(kheeper_e2e::token::Token::parse(&explicit).claims["sub"], id.as_str());
    let door = Door::direct(world.server.address(), by_default.trim());
    door.get("/myorg?list-type=2").expect_error(403, "AccessDenied");
    let users = world.server.operator_json(&["users", "list"]);
    assert_eq!(users.as_array().map(Vec::len), Some(2));
    let keys = world.server.operator_json(&["keys", "list"]);
    assert_eq!(keys.as_array().map(Vec::len), Some(2));
    world.server.operator(&["users", "create", "carol"]).failed();
    world.server.operator(&["users", "create", "Not A Name"]).failed();
}

#[test]
fn the_operator_needs_no_running_server_and_leaves_no_foreign_files() {
    let mut world = World::start();
    assert!(world.server.terminate().success());
    let id = world.create_user("dave");
    assert!(id.starts_with("usr_"));
    world.server.operator(&["fsck"]).ok();
    world.server.restart();
    assert!(world.server.operator(&["users", "list"]).ok().stdout.contains("dave"));
}
