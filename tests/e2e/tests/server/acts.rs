//! Every act there is in the audit log, done once: its record says who, on what, from where, and what came of it.

use std::cell::Cell;
use std::collections::BTreeSet;

use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::{Host, text};
use kheeper_e2e::{Cli, World};
use kheeper_model::audit::AuditAct;
use serde_json::Value;

/// The orgs whose chains are looked at, beside the server's own.
const ORGS: [&str; 2] = ["myorg", "second"];

/// Who a record has to name.
#[derive(Debug)]
enum Who {
    Operator,
    /// Somebody with a key: a user or a host, by id.
    Caller(String),
    /// Whoever has a join token.
    Machine,
}

struct Stage {
    web_01: Host,
    web_02: Host,
    /// Alice's id.
    owner: String,
    /// An auditor of myorg, who is at nobody's mercy but the operator's.
    auditor: String,
    auditor_cli: Cli,
    /// When `web-01/back` was there.
    before: String,
    made: Cell<u32>,
    world: World,
}

impl Stage {
    fn start() -> Self {
        let world = World::start();
        let (web_01, web_02) = (world.host("web-01"), world.host("web-02"));
        let auditor_cli = world.cli("auditor");
        let auditor = world.login("auditor", &auditor_cli);
        world.alice.ok(&["orgs", "members", "invite", "myorg", &auditor, "--role", "auditor"]);
        let owner = text(&world.alice.json(&["status"])["server"]["id"]);
        world.direct(&web_01.cli).put(&web_01.path("back"), b"back").expect(200);
        let before = jiff::Timestamp::now();
        wait::until("the next millisecond", secs(5), || {
            (jiff::Timestamp::now().as_millisecond() > before.as_millisecond() + 1).then_some(())
        });
        let before = before.to_string();
        Self { web_01, web_02, owner, auditor, auditor_cli, before, made: Cell::new(0), world }
    }

    /// A name that nobody has had.
    fn name(&self) -> String {
        self.made.set(self.made.get() + 1);
        format!("new-{:02}", self.made.get())
    }

    fn host(&self) -> Host {
        self.world.host(&self.name())
    }

    fn owner(&self) -> Who {
        Who::Caller(self.owner.clone())
    }

    /// Every record there is, each once: what concerns several chains is in several.
    fn records(&self) -> BTreeSet<String> {
        let chains = ORGS.iter().map(|org| vec!["audit", "export", "--org", *org]).chain([vec!["audit", "export"]]);
        let exported = chains.flat_map(|export| {
            let lines = self.world.server.operator(&export).ok().stdout;
            lines.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        exported.map(|line| text(&serde_json::from_str::<Value>(&line).expect("JSON")["record"])).collect()
    }
}

fn id(cli: &Cli) -> String {
    text(&cli.json(&["hosts", "me"])["host_id"])
}

/// Does an act, and says who did it. An act that is new does not compile before it is done here.
fn perform(stage: &Stage, act: AuditAct) -> Who {
    let Stage { world, web_01, web_02, .. } = stage;
    let owner = |args: &[&str]| {
        world.alice.ok(args);
        stage.owner()
    };
    let operator = |args: &[&str]| {
        world.server.operator(args).ok();
        Who::Operator
    };
    let grant = || {
        let create = ["grants", "create", "myorg/web-01", "--to", "web-02", "--read", "--for", "1h"];
        text(&world.alice.json(&create)["id"])
    };
    match act {
        AuditAct::UserCreate => operator(&["users", "create", &stage.name()]),
        AuditAct::UserDisable => operator(&["users", "disable", &stage.auditor]),
        AuditAct::UserEnable => operator(&["users", "enable", &stage.auditor]),
        AuditAct::KeyRegister => {
            let name = stage.name();
            world.login(&name, &world.cli(&name));
            Who::Operator
        }
        AuditAct::KeyActivate | AuditAct::HostAddKey | AuditAct::HostRetireKeys => {
            let host = stage.host();
            host.cli.ok(&["hosts", "rotate-key", "--overlap", "0s"]);
            Who::Caller(id(&host.cli))
        }
        AuditAct::KeyRevoke => {
            let key = text(&stage.auditor_cli.json(&["status"])["key"]);
            operator(&["keys", "revoke", &key])
        }
        AuditAct::OrgCreate => owner(&["orgs", "create", ORGS[1]]),
        AuditAct::OrgSet => owner(&["orgs", "set", "myorg", "--retention", "9d"]),
        AuditAct::MemberPut => {
            let user = world.create_user(&stage.name());
            owner(&["orgs", "members", "invite", "myorg", &user, "--role", "auditor"])
        }
        AuditAct::MemberRemove => owner(&["orgs", "members", "remove", "myorg", &stage.auditor]),
        AuditAct::HostCreate => owner(&["hosts", "create", &format!("myorg/{}", stage.name())]),
        AuditAct::HostJoin => {
            stage.host();
            Who::Machine
        }
        AuditAct::HostRejoin => owner(&["hosts", "rejoin", &stage.host().namespace()]),
        AuditAct::HostResume => {
            let host = stage.host();
            let token = text(&world.alice.json(&["hosts", "rejoin", &host.namespace()])["join_token"]);
            host.cli.ok(&["hosts", "join", &token, "--replace"]);
            host.cli.ok(&["hosts", "resume"]);
            Who::Caller(id(&host.cli))
        }
        AuditAct::HostDisable => owner(&["hosts", "disable", &stage.host().namespace()]),
        AuditAct::HostEnable => owner(&["hosts", "enable", &stage.host().namespace()]),
        AuditAct::HostRevoke => owner(&["hosts", "revoke", &stage.host().namespace()]),
        AuditAct::HostDelete => owner(&["hosts", "delete", &stage.host().namespace()]),
        AuditAct::HostUndelete => {
            let host = stage.host();
            world.alice.ok(&["hosts", "delete", &host.namespace()]);
            owner(&["hosts", "undelete", &host.namespace()])
        }
        AuditAct::HostSet => owner(&["hosts", "set", "myorg/web-01", "--retention", "8d"]),
        AuditAct::GrantCreate => {
            grant();
            stage.owner()
        }
        AuditAct::GrantDelete => owner(&["grants", "delete", &grant()]),
        AuditAct::GrantUse => {
            world.direct(&web_01.cli).put(&web_01.path("lent"), b"lent").expect(200);
            grant();
            world.direct(&web_02.cli).get(&web_01.path("lent")).expect(200);
            Who::Caller(id(&web_02.cli))
        }
        AuditAct::ObjectsDelete => {
            let door = world.direct(&web_01.cli);
            door.put(&web_01.path("gone"), b"gone").expect(200);
            door.delete(&web_01.path("gone")).expect(204);
            Who::Caller(id(&web_01.cli))
        }
        AuditAct::ObjectsOverwrite => {
            let door = world.direct(&web_01.cli);
            door.put(&web_01.path("twice"), b"once").expect(200);
            door.put(&web_01.path("twice"), b"twice").expect(200);
            Who::Caller(id(&web_01.cli))
        }
        AuditAct::ObjectsRestore => {
            world.direct(&web_01.cli).delete(&web_01.path("back")).expect(204);
            // What is to be read as of then has to be a minute past.
            let restore = ["objects", "restore", "--at", &stage.before, "myorg/web-01"];
            wait::until("the moment to be past", secs(90), || world.alice.run(&restore).status.success().then_some(()));
            stage.owner()
        }
        AuditAct::SnapshotTake => {
            let to = world.path("snapshot");
            operator(&["snapshot", to.to_str().expect("our own path")])
        }
        AuditAct::QuarantineEnd => operator(&["quarantine", "end", "--nothing-revoked"]),
        AuditAct::IndexAcceptOlder => {
            // The sweep itself waits for a day: the quarantine has just ended.
            world.server.operator(&["sweep", "--accept-older-index"]);
            Who::Operator
        }
        AuditAct::RequestDenied => {
            world.direct(&web_02.cli).put(&web_01.path("x"), b"x").expect_error(403, "AccessDenied");
            Who::Caller(id(&web_02.cli))
        }
    }
}

#[test]
fn every_act_there_is_leaves_a_record_that_says_who_on_what_and_from_where() {
    let mut stage = Stage::start();
    assert_eq!(stage.world.direct(&stage.web_01.cli).get(&stage.web_01.path("back")).expect(200).body, b"back");
    for act in AuditAct::ALL {
        if *act == AuditAct::QuarantineEnd {
            stage.world.change_index("INSERT INTO meta (name, value) VALUES ('quarantined_since', 1)");
        }
        let before = stage.records();
        let who = perform(&stage, *act);
        // Most are there at once; what changes nothing is gathered for a second.
        let record = wait::until(act.as_str(), secs(20), || {
            let now = stage.records();
            let mut new = now.difference(&before).map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
            new.find(|record| record["act"] == act.as_str())
        });
        let (by, from) = (record["by"].as_str(), record["from"].as_str());
        let (expected, signed, somewhere) = match &who {
            Who::Operator => ("operator", false, None),
            Who::Caller(id) => (id.as_str(), true, Some("127.0.0.1")),
            Who::Machine => ("a machine with a join token", false, Some("127.0.0.1")),
        };
        assert_eq!((by, from), (Some(expected), somewhere), "{act} by {who:?}: {record}");
        assert_eq!(record["key_id"].is_string(), signed, "{act}: {record}");
        assert!(record["on"].is_string(), "{act}: {record}");
        let outcome = if *act == AuditAct::RequestDenied { "denied" } else { "done" };
        assert_eq!(record["outcome"], outcome, "{act}: {record}");
    }
    stage.world.alice.ok(&["audit", "verify", "--org", "myorg"]);
}

#[test]
fn a_join_by_a_token_that_is_used_expired_or_of_a_disabled_host_is_in_the_orgs_own_log() {
    let mut world = World::start();
    let used = world.invite("used");
    world.cli("used").ok(&["hosts", "join", &used]);
    let late = world.invite("late");
    world.change_index("UPDATE join_token SET expires_at = 1 WHERE used_by IS NULL");
    let disabled = world.invite("disabled");
    world.alice.ok(&["hosts", "disable", "myorg/disabled"]);

    let thief = world.cli("thief");
    thief.run(&["hosts", "join", &used]).failed();
    thief.run(&["hosts", "join", &disabled]).failed();
    thief.run(&["hosts", "join", &late]).failed();
    let denied = || {
        let log = world.alice.json(&["audit", "list", "--last", "1000"]);
        let joins = log.as_array().expect("a list").iter().filter(|record| record["act"] == "host.join");
        joins.filter(|record| record["outcome"] == "denied").cloned().collect::<Vec<_>>()
    };
    for (host, why) in [("used", "used by another key"), ("late", "has expired"), ("disabled", "is disabled")] {
        let record =
            wait::until(why, secs(10), || denied().into_iter().find(|record| record["on"] == format!("myorg/{host}")));
        assert!(record["details"]["why"].as_str().is_some_and(|said| said.contains(why)), "{record}");
        assert_eq!(
            (record["by"].as_str(), record["from"].as_str()),
            (Some("a machine with a join token"), Some("127.0.0.1"))
        );
        assert!(record["details"]["for-instance"].as_str().is_some_and(|key| key.starts_with("key ")), "{record}");
    }
    // A made-up one is nobody's, and no org is bothered with it.
    let others = world.other_owner("bob", "otherorg").json(&["audit", "list", "--org", "otherorg"]).to_string();
    assert!(!others.contains("host.join"), "{others}");
}

#[test]
fn a_flood_of_refusals_of_strangers_leaves_room_for_those_of_the_orgs_own() {
    let world = World::start();
    let web_01 = world.host("web-01");
    let bob = world.other_owner("bob", "otherorg");
    let (stranger, own) = (world.direct(&bob), world.direct(&web_01.cli));
    for number in 0..200 {
        stranger.get(&format!("/myorg/made-up-{number:03}/x")).expect_error(403, "AccessDenied");
        stranger.get(&format!("/no-org-{number:03}/x")).expect_error(403, "AccessDenied");
    }
    // The last of the alphabet: the room of a chain is filled in order.
    own.get("/myorg/zz-sibling/x").expect_error(403, "AccessDenied");
    let me = id(&web_01.cli);
    wait::until("the sibling's refusal", secs(10), || {
        let log = world.alice.json(&["audit", "list", "--last", "1000"]);
        let found = log.as_array().expect("a list").iter().any(|record| {
            record["act"] == "request.denied" && record["by"] == me.as_str() && record["on"] == "myorg/zz-sibling"
        });
        found.then_some(())
    });
}
