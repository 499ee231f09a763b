//! Identity × operation × target: a host has its own prefix, an owner reads across the org, and nobody else gets in.

use kheeper_e2e::s3::{delete_body, xml_values};
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Door, Request, World, digest};

const STORED: &[u8] = b"what was stored before anybody tried anything";
/// An upload that is not there, by an id of the shape that uploads have.
const NO_UPLOAD: &str = "20261101-00000000000000000000000000000000";

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Host,
    ReadOnlyHost,
    DisabledHost,
    RevokedHost,
    Owner,
    OtherOwner,
    Nobody,
}

/// Where the object is, seen from the host `web-01` of `myorg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Own,
    Sibling,
    OrgRoot,
    OtherOrg,
    NoOrg,
}

impl Target {
    const ALL: [Self; 5] = [Self::Own, Self::Sibling, Self::OrgRoot, Self::OtherOrg, Self::NoOrg];

    fn path(self, host: &str) -> String {
        match self {
            Self::Own => format!("/myorg/{host}/object"),
            Self::Sibling => "/myorg/web-011/object".into(),
            Self::OrgRoot => "/myorg/object".into(),
            Self::OtherOrg => "/otherorg/web-01/object".into(),
            Self::NoOrg => "/no-such-org/web-01/object".into(),
        }
    }
}

/// What is tried on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Try {
    Get,
    GetRange,
    Head,
    GetPart,
    GetTags,
    Attributes,
    CopyFrom,
    PartCopyFrom,
    ListParts,
    Put,
    PutTags,
    DeleteTags,
    CopyTo,
    CreateUpload,
    UploadPart,
    Complete,
    Abort,
    Delete,
}

impl Try {
    /// Deletion comes last, so that the others find the object.
    const ALL: [Self; 18] = [
        Self::Get,
        Self::GetRange,
        Self::Head,
        Self::GetPart,
        Self::GetTags,
        Self::Attributes,
        Self::CopyFrom,
        Self::PartCopyFrom,
        Self::ListParts,
        Self::Put,
        Self::PutTags,
        Self::DeleteTags,
        Self::CopyTo,
        Self::CreateUpload,
        Self::UploadPart,
        Self::Complete,
        Self::Abort,
        Self::Delete,
    ];

    fn reads(self) -> bool {
        matches!(self, Self::Get | Self::GetRange | Self::Head | Self::GetPart | Self::GetTags | Self::Attributes)
    }

    /// Whether it names an upload, of which there is none.
    fn of_an_upload(self) -> bool {
        self.success() == 404
    }

    /// The status where it is allowed.
    fn success(self) -> u16 {
        match self {
            Self::Get | Self::Head | Self::CopyFrom | Self::Put | Self::CopyTo | Self::CreateUpload => 200,
            Self::GetTags | Self::Attributes | Self::PutTags => 200,
            Self::GetRange | Self::GetPart => 206,
            Self::Delete | Self::DeleteTags => 204,
            // There is no such upload, and only those who may know are told so.
            Self::PartCopyFrom | Self::ListParts | Self::UploadPart | Self::Complete | Self::Abort => 404,
        }
    }

    fn request(self, door: &Door, path: &str, own: &str) -> Request {
        let upload = format!("{path}?uploadId={NO_UPLOAD}");
        match self {
            Self::Get => door.request("GET", path),
            Self::GetRange => door.request("GET", path).header("Range", "bytes=0-3"),
            Self::Head => door.request("HEAD", path),
            Self::GetPart => door.request("GET", &format!("{path}?partNumber=1")),
            Self::GetTags => door.request("GET", &format!("{path}?tagging")),
            Self::Attributes => {
                door.request("GET", &format!("{path}?attributes")).header("x-amz-object-attributes", "ETag,ObjectSize")
            }
            Self::PutTags => {
                let tags = "<Tagging><TagSet><Tag><Key>stolen</Key><Value>1</Value></Tag></TagSet></Tagging>";
                door.request("PUT", &format!("{path}?tagging")).body(tags)
            }
            Self::DeleteTags => door.request("DELETE", &format!("{path}?tagging")),
            Self::CopyFrom => door.request("PUT", &format!("{own}-copy")).header("x-amz-copy-source", path).body(""),
            Self::PartCopyFrom => door
                .request("PUT", &format!("{own}-copy?partNumber=1&uploadId={NO_UPLOAD}"))
                .header("x-amz-copy-source", path)
                .body(""),
            Self::ListParts => door.request("GET", &upload),
            Self::Put => door.put_request(path, STORED),
            Self::CopyTo => door.request("PUT", path).header("x-amz-copy-source", &format!("{own}-source")).body(""),
            Self::CreateUpload => door.request("POST", &format!("{path}?uploads")).body(""),
            Self::UploadPart => door.put_request(&format!("{path}?partNumber=1&uploadId={NO_UPLOAD}"), b"part"),
            Self::Complete => door.request("POST", &upload).body(kheeper_e2e::s3::complete_body(&[(1, "\"0\"")])),
            Self::Abort => door.request("DELETE", &upload),
            Self::Delete => door.request("DELETE", path),
        }
    }
}

/// Whether `who` may do `what` at `target`; `None` where 403 and 404 are equally right: a key of no host, and an upload that
/// only a writer could have begun.
fn allowed(who: Who, what: Try, target: Target) -> Option<bool> {
    match (who, target) {
        (Who::Host, Target::Own) => Some(true),
        (Who::ReadOnlyHost, Target::Own) if what.of_an_upload() => None,
        (Who::ReadOnlyHost, Target::Own) => Some(what.reads()),
        (Who::Owner, Target::OrgRoot) if what.reads() || what == Try::ListParts => None,
        (Who::Owner, Target::Own | Target::Sibling) | (Who::OtherOwner, Target::OtherOrg) => {
            if what == Try::ListParts {
                None
            } else {
                Some(what.reads())
            }
        }
        _ => Some(false),
    }
}

struct Scene {
    doors: Vec<(Who, &'static str, Door)>,
    world: World,
}

fn scene() -> Scene {
    let world = World::start();
    let web_01 = world.host("web-01");
    let web_011 = world.host("web-011");
    let frozen = world.host("frozen");
    let disabled = world.host("disabled");
    let revoked = world.host("revoked");
    let bob = world.other_owner("bob", "otherorg");
    let other_host = other_host(&world, &bob);
    for host in [&web_01, &web_011, &frozen, &disabled, &revoked] {
        world.direct(&host.cli).put(&host.path("object"), STORED).expect(200);
    }
    world.direct(&web_01.cli).put(&web_01.path("object-source"), STORED).expect(200);
    world.direct(&other_host).put("/otherorg/web-01/object", STORED).expect(200);

    let disabled_door = world.direct(&disabled.cli);
    let revoked_door = world.direct(&revoked.cli);
    let token = world.alice.json(&["hosts", "rejoin", "myorg/frozen"]);
    frozen.cli.ok(&["hosts", "join", token["join_token"].as_str().expect("a token"), "--replace"]);
    world.alice.ok(&["hosts", "disable", "myorg/disabled"]);
    world.alice.ok(&["hosts", "revoke", "myorg/revoked"]);
    for (door, host) in [(&disabled_door, &disabled), (&revoked_door, &revoked)] {
        wait::until("the end of a key", secs(6), || (door.get(&host.path("object")).status == 403).then_some(()));
    }
    let doors = vec![
        (Who::ReadOnlyHost, "frozen", world.direct(&frozen.cli)),
        (Who::DisabledHost, "disabled", disabled_door),
        (Who::RevokedHost, "revoked", revoked_door),
        (Who::Owner, "web-01", world.direct(&world.alice)),
        (Who::OtherOwner, "web-01", world.direct(&bob)),
        (Who::Nobody, "web-01", Door::anonymous(world.server.address())),
        // Last, since in the end it deletes what the others read.
        (Who::Host, "web-01", world.direct(&web_01.cli)),
    ];
    Scene { doors, world }
}

fn other_host(world: &World, bob: &kheeper_e2e::Cli) -> kheeper_e2e::Cli {
    let invitation = bob.json(&["hosts", "create", "otherorg/web-01"]);
    let cli = world.cli("other-web-01");
    cli.ok(&["hosts", "join", invitation["join_token"].as_str().expect("a token")]);
    cli
}

#[test]
fn only_the_own_prefix_and_the_owners_reading_pass() {
    let scene = scene();
    for (who, host, door) in &scene.doors {
        let own = Target::Own.path(host);
        for what in Try::ALL {
            for target in Target::ALL {
                let row = format!("{who:?} {what:?} {target:?}");
                // A copy has two ends: the other end is the caller's own namespace, which only a host has.
                let answer = what.request(door, &target.path(host), &own).send(door.address);
                match allowed(*who, what, target) {
                    Some(true) => assert_eq!(answer.status, what.success(), "{row}: {answer}"),
                    Some(false) => {
                        assert_eq!(answer.status, 403, "{row}: {answer}");
                        if what != Try::Head {
                            assert_eq!(answer.code(), "AccessDenied", "{row}: {answer}");
                        }
                    }
                    None => assert!(matches!(answer.status, 403 | 404), "{row}: {answer}"),
                }
            }
        }
    }
    // And nothing of all that was refused has happened.
    let alice = scene.world.direct(&scene.world.alice);
    for path in ["/myorg/web-011/object", "/myorg/frozen/object", "/myorg/disabled/object", "/myorg/revoked/object"] {
        let read = alice.get(path).expect(200);
        assert_eq!((read.body.as_slice(), read.header("x-amz-tagging-count")), (STORED, None));
    }
    let bob = scene.doors.iter().find(|(who, ..)| *who == Who::OtherOwner).map(|(_, _, door)| door);
    assert_eq!(bob.expect("bob is there").get("/otherorg/web-01/object").expect(200).body, STORED);
    assert_eq!(alice.keys("myorg", "", 1000).len(), 6, "web-01's object is deleted and its copy is there");
}

#[test]
fn bucket_calls_answer_within_the_own_org_only() {
    let scene = scene();
    let calls: [(&str, &str); 7] = [
        ("HEAD", ""),
        ("PUT", ""),
        ("GET", "?location"),
        ("GET", "?versioning"),
        ("GET", "?list-type=2"),
        ("GET", ""),
        ("GET", "?uploads"),
    ];
    for (who, _, door) in &scene.doors {
        for (method, query) in calls {
            for org in ["myorg", "otherorg", "no-such-org"] {
                let path = format!("/{org}{query}");
                let answer = door.request(method, &path).send(door.address);
                let row = format!("{who:?} {method} {path}: {answer}");
                let member = match who {
                    Who::Host | Who::ReadOnlyHost | Who::Owner => org == "myorg",
                    Who::OtherOwner => org == "otherorg",
                    Who::DisabledHost | Who::RevokedHost | Who::Nobody => false,
                };
                // CreateBucket of the own org, which changes nothing, and a listing of uploads are for those who write.
                let unsure = (method == "PUT" || query == "?uploads") && member && *who != Who::Host;
                let expected = if member { 200 } else { 403 };
                assert!(answer.status == expected || (unsure && answer.status == 403), "{row}");
            }
        }
    }
}

#[test]
fn a_listing_shows_a_host_its_own_keys_whatever_the_prefix() {
    let world = World::start();
    let hosts: Vec<Host> = ["web-01", "web-011", "web-01-b", "web-02"].map(|name| world.host(name)).into();
    for host in &hosts {
        world.direct(&host.cli).put(&host.path("dir/key"), STORED).expect(200);
    }
    let door = world.direct(&hosts[0].cli);
    for prefix in ["", "w", "web-0", "web-01", "web-01/", "web-01/dir/", "web-01/d"] {
        assert_eq!(door.keys("myorg", prefix, 1), ["web-01/dir/key"], "prefix {prefix:?}");
    }
    assert_eq!(door.keys("myorg", "web-01/nothing", 10), [""; 0]);
    for prefix in ["web-011", "web-011/", "web-01-", "web-02/", "x", "/", "web-01//../web-02", "WEB-01/"] {
        let listed = door.get(&format!("/myorg?list-type=2&prefix={}", kheeper_e2e::s3::percent(prefix)));
        if prefix == "web-01//../web-02" {
            assert_eq!(xml_values(&listed.expect(200).text(), "Key"), [""; 0]);
        } else {
            listed.expect_error(403, "AccessDenied");
        }
    }
    for query in ["delimiter=/", "delimiter=0", "delimiter=-", "prefix=web-0&delimiter=1", "start-after=web-011/"] {
        let text = door.get(&format!("/myorg?list-type=2&{query}")).expect(200).text();
        let entries = [xml_values(&text, "Key"), xml_values(&text, "CommonPrefixes")].concat().join(" ");
        let foreign = ["web-011", "web-02", "web-01-"].iter().find(|name| entries.contains(*name));
        assert_eq!(foreign, None, "{query}: {text}");
    }
    let text = door.get("/myorg?delimiter=/&marker=web-00").expect(200).text();
    assert_eq!(xml_values(&text, "Prefix").last().map(String::as_str), Some("web-01/"), "{text}");

    let alice = world.direct(&world.alice);
    let all = ["web-01-b/dir/key", "web-01/dir/key", "web-011/dir/key", "web-02/dir/key"];
    assert_eq!(alice.keys("myorg", "", 1), all, "in byte order");
    assert_eq!(xml_values(&door.get("/").expect(200).text(), "Name"), ["myorg"]);
}

#[test]
fn a_batch_with_one_foreign_key_deletes_nothing() {
    let world = World::start();
    let (web_01, web_02) = (world.host("web-01"), world.host("web-02"));
    let door = world.direct(&web_01.cli);
    door.put(&web_01.path("a"), STORED).expect(200);
    world.direct(&web_02.cli).put(&web_02.path("a"), STORED).expect(200);

    for foreign in ["web-02/a", "web-01", "a", "../web-01/a", "web-011/a"] {
        door.post("/myorg?delete", &delete_body(["web-01/a", foreign], false)).expect_error(403, "AccessDenied");
    }
    world
        .direct(&world.alice)
        .post("/myorg?delete", &delete_body(["web-01/a"], true))
        .expect_error(403, "AccessDenied");
    assert_eq!(door.get(&web_01.path("a")).expect(200).body, STORED);

    let many: Vec<String> = (0..1001).map(|n| format!("web-01/{n}")).collect();
    door.post("/myorg?delete", &delete_body(&many, true)).expect_error(400, "MalformedXML");
    let answer = door.post("/myorg?delete", &delete_body(["web-01/a", "web-01/never-there"], false)).expect(200);
    assert_eq!(xml_values(&answer.text(), "Key"), ["web-01/a", "web-01/never-there"]);
    door.get(&web_01.path("a")).expect_error(404, "NoSuchKey");
}

#[test]
fn an_upload_of_another_host_is_not_there() {
    let world = World::start();
    let (web_01, web_02) = (world.host("web-01"), world.host("web-02"));
    let (door_01, door_02) = (world.direct(&web_01.cli), world.direct(&web_02.cli));
    let upload = door_01.create_upload(&web_01.path("big"));
    assert!(upload.len() >= 26, "at least 128 random bits: {upload}");

    let foreign = format!("{}?partNumber=1&uploadId={upload}", web_02.path("big"));
    door_02.put(&foreign, b"part").expect_error(404, "NoSuchUpload");
    let other_key = format!("{}?partNumber=1&uploadId={upload}", web_01.path("other"));
    door_01.put(&other_key, b"part").expect_error(404, "NoSuchUpload");
    let there = format!("{}?partNumber=1&uploadId={upload}", web_01.path("big"));
    door_02.put(&there, b"part").expect_error(403, "AccessDenied");
    assert!(!door_02.get("/myorg?uploads").expect(200).text().contains(&upload));
    assert!(door_01.get("/myorg?uploads").expect(200).text().contains(&upload));
    door_01.put(&there, b"part").expect(200);
}

#[test]
fn what_is_not_an_operation_is_501_and_never_a_plain_get_or_put() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    door.put(&host.path("a"), STORED).expect(200);
    for query in ["acl", "torrent", "retention", "legal-hold", "restore", "versionId=abc"] {
        let path = format!("{}?{query}", host.path("a"));
        door.get(&path).expect_error(501, "NotImplemented");
        door.put(&path, b"something else").expect_error(501, "NotImplemented");
    }
    for query in [
        "versions",
        "policy",
        "tagging",
        "attributes",
        "lifecycle",
        "object-lock",
        "cors",
        "acl",
        "replication",
        "encryption",
    ] {
        door.get(&format!("/myorg?{query}")).expect_error(501, "NotImplemented");
        door.put(&format!("/myorg?{query}"), b"<X/>").expect_error(501, "NotImplemented");
    }
    for (name, value) in [
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-bypass-governance-retention", "true"),
        ("x-amz-made-up", "1"),
    ] {
        let request = door.put_request(&host.path("a"), b"something else").header(name, value);
        let answer = request.send(door.address).expect_error(501, "NotImplemented");
        assert!(answer.text().contains(name), "it names the header: {answer}");
    }
    assert_eq!(door.get(&host.path("a")).expect(200).body, STORED);
    let md5 = digest::md5_hex(STORED);
    assert_eq!(door.head(&host.path("a")).header("etag"), Some(format!("\"{md5}\"").as_str()));
}

#[test]
fn a_key_is_opaque_bytes_and_the_authorized_key_is_the_stored_one() {
    let world = World::start();
    let (web_01, web_02) = (world.host("web-01"), world.host("web-02"));
    let door = world.direct(&web_01.cli);
    world.direct(&web_02.cli).put(&web_02.path("a"), STORED).expect(200);

    // What looks like a way out is a key like any other below web-01/, or refused.
    let inside = [
        ("/myorg/web-01/../web-02/a", "web-01/../web-02/a"),
        ("/myorg/web-01/%2e%2e/web-02/a", "web-01/../web-02/a"),
        ("/myorg/web-01%2Fb", "web-01/b"),
        ("/myorg/web-01//b", "web-01//b"),
        ("/myorg/web-01/./b", "web-01/./b"),
        ("/myorg/web-01/b/", "web-01/b/"),
        ("/myorg/web-01/a+b%2Bc%20d", "web-01/a+b+c d"),
        ("/myorg/web-01/%252e", "web-01/%2e"),
        ("/myorg/web-01/%5c..%5cx", "web-01/\\..\\x"),
        ("/myorg/web-01/caf%C3%A9", "web-01/caf\u{e9}"),
        ("/myorg/web-01/cafe%CC%81", "web-01/cafe\u{301}"),
        ("/myorg/web-01/A", "web-01/A"),
        ("/myorg/web-01/a", "web-01/a"),
        ("/myorg/web-01/seg.", "web-01/seg."),
        ("/myorg/web-01/", "web-01/"),
    ];
    let mut expected: Vec<&str> = inside.iter().map(|(_, key)| *key).collect();
    for (path, key) in inside {
        door.put(path, key.as_bytes()).expect(200);
    }
    for (path, key) in inside {
        assert_eq!(door.get(path).expect(200).body, key.as_bytes(), "{path}");
    }
    expected.sort();
    expected.dedup();
    assert_eq!(door.keys("myorg", "web-01/", 4), expected);

    for path in
        ["/myorg/../otherorg/web-01/a", "/myorg/%2e%2e/web-02/a", "/myorg/web-02/../web-01/a", "/./myorg/web-01/a"]
    {
        let answer = door.put(path, b"x");
        assert!(matches!(answer.status, 400 | 403), "{path}: {answer}");
    }
    for path in ["/myorg/web-01/%FF", "/myorg/web-01/%C3%28", "/myorg/web-01/%zz", "/myorg/web-01/%00"] {
        let answer = door.put(path, b"x").expect(400);
        assert!(matches!(answer.code().as_str(), "InvalidURI" | "InvalidArgument"), "{path}: {answer}");
    }
    let longest = format!("/myorg/web-01/{}", "k".repeat(1024 - "web-01/".len()));
    door.put(&longest, b"x").expect(200);
    door.put(&format!("{longest}k"), b"x").expect_error(400, "KeyTooLongError");
    assert_eq!(world.direct(&web_02.cli).get(&web_02.path("a")).expect(200).body, STORED);
}
