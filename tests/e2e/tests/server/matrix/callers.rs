//! Who calls, what they aim at, and what they may do there.

use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::{Host, text};
use kheeper_e2e::{Cli, Door, World};

/// What every object of the matrix holds.
pub(super) const STORED: &[u8] = b"what was stored before anybody tried anything";
/// An upload that is not there, by an id of the shape that uploads have.
const NO_UPLOAD: &str = "20261101-00000000000000000000000000000000";

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// The host `web-01`.
    Host,
    /// A host of the same org.
    Sibling,
    /// A host of the same org, to which reading `web-01` was granted.
    Granted,
    /// A host that rejoined and was not resumed.
    ReadOnlyHost,
    DisabledHost,
    RevokedHost,
    /// A person who would own `myorg`, if the operator had not disabled them.
    DisabledOwner,
    Owner,
    /// A person who looks after `myorg` without seeing its objects.
    Auditor,
    /// The owner, with a token for reading `web-01` only.
    NarrowedOwner,
    OtherOwner,
    /// `web-01` of the other org: the same name, and nothing else in common.
    OtherHost,
    Nobody,
}

/// What is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The caller's own namespace; for who has none in `myorg`, `web-01`.
    Own,
    /// `web-01`, which is lent to one caller.
    Lent,
    /// `web-011`, which is lent to nobody and begins like `web-01`.
    Sibling,
    /// What lies beside the hosts.
    OrgRoot,
    OtherOrg,
    NoOrg,
}

/// What a caller may do at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Nothing,
    /// By a grant, or as owner: current objects.
    Read,
    /// The own namespace of a host that may not write: its uploads are seen.
    ReadOwn,
    Write,
}

impl Caller {
    pub(super) const ALL: [Self; 13] = [
        Self::Sibling,
        Self::Granted,
        Self::ReadOnlyHost,
        Self::DisabledHost,
        Self::RevokedHost,
        Self::DisabledOwner,
        Self::Owner,
        Self::Auditor,
        Self::NarrowedOwner,
        Self::OtherOwner,
        Self::OtherHost,
        Self::Nobody,
        Self::Host,
    ];

    /// The namespace that [`Target::Own`] stands for.
    pub(super) fn own(self) -> &'static str {
        match self {
            Self::Sibling => "myorg/web-02",
            Self::Granted => "myorg/web-03",
            Self::ReadOnlyHost => "myorg/frozen",
            Self::DisabledHost => "myorg/disabled",
            Self::RevokedHost => "myorg/revoked",
            _ => "myorg/web-01",
        }
    }

    /// Whether the server lets the caller in at all.
    pub(super) fn is_known(self) -> bool {
        !matches!(self, Self::DisabledHost | Self::RevokedHost | Self::DisabledOwner | Self::Nobody)
    }

    pub(super) fn is_person(self) -> bool {
        matches!(self, Self::Owner | Self::Auditor | Self::NarrowedOwner | Self::OtherOwner)
    }

    /// Whether the target's bucket is one that the caller sees anything of.
    pub(super) fn is_in_the_org_of(self, target: Target) -> bool {
        let other = matches!(self, Self::OtherOwner | Self::OtherHost);
        self.is_known()
            && self != Self::Auditor
            && match target {
                Target::Own | Target::Lent | Target::Sibling | Target::OrgRoot => !other,
                Target::OtherOrg => other,
                Target::NoOrg => false,
            }
    }

    /// The one statement of who may do what, which every expectation is made from.
    pub(super) fn right(self, target: Target) -> Right {
        match (self, target) {
            (Self::Host | Self::Sibling | Self::Granted, Target::Own) => Right::Write,
            (Self::Host, Target::Lent) | (Self::OtherHost, Target::OtherOrg) => Right::Write,
            (Self::ReadOnlyHost, Target::Own) => Right::ReadOwn,
            (Self::Granted, Target::Lent) => Right::Read,
            (Self::Owner, Target::Own | Target::Lent | Target::Sibling) => Right::Read,
            (Self::NarrowedOwner, Target::Own | Target::Lent) => Right::Read,
            (Self::OtherOwner, Target::OtherOrg) => Right::Read,
            _ => Right::Nothing,
        }
    }

    /// The beginnings of the keys that a listing of `myorg` or `otherorg` may show the caller.
    pub(super) fn sees(self) -> &'static [&'static str] {
        match self {
            Self::Host | Self::OtherHost | Self::OtherOwner | Self::NarrowedOwner => &["web-01/"],
            Self::Sibling => &["web-02/"],
            Self::Granted => &["web-01/", "web-03/"],
            Self::ReadOnlyHost => &["frozen/"],
            Self::Owner => &[""],
            Self::Auditor | Self::DisabledHost | Self::RevokedHost | Self::DisabledOwner | Self::Nobody => &[],
        }
    }
}

impl Target {
    pub(super) const ALL: [Self; 6] =
        [Self::Own, Self::Lent, Self::Sibling, Self::OrgRoot, Self::OtherOrg, Self::NoOrg];
}

/// Open uploads of a namespace.
#[derive(Debug, Clone)]
pub(super) struct Uploads {
    /// Of `big`, with a part.
    pub(super) open: String,
    /// Of `finished`, with a part whose ETag is known.
    pub(super) finished: String,
    pub(super) finished_etag: String,
    /// Of `given-up`.
    pub(super) given_up: String,
}

impl Uploads {
    fn none() -> Self {
        let id = NO_UPLOAD.to_owned();
        Self { open: id.clone(), finished: id.clone(), finished_etag: "\"0\"".into(), given_up: id }
    }
}

/// A target as one caller's request names it.
#[derive(Debug)]
pub(super) struct Aim<'a> {
    pub(super) door: &'a Door,
    pub(super) bucket: &'a str,
    /// `web-01/`, or nothing at the org's root.
    pub(super) prefix: String,
    pub(super) uploads: Uploads,
    /// The caller's own namespace, or one that is made up for those without: `myorg/web-01`.
    pub(super) own: &'a str,
}

impl Aim<'_> {
    pub(super) fn path(&self, name: &str) -> String {
        format!("/{}/{}{name}", self.bucket, self.prefix)
    }

    pub(super) fn own_path(&self, name: &str) -> String {
        format!("/{}/{name}", self.own)
    }
}

/// The world of the matrix: every namespace holds the same objects and uploads.
pub(super) struct Scene {
    pub(super) doors: Vec<(Caller, Door)>,
    uploads: Vec<(&'static str, Uploads)>,
    pub(super) grant: String,
    pub(super) world: World,
}

impl Scene {
    pub(super) fn start() -> Self {
        let world = World::start();
        let names = ["web-01", "web-02", "web-03", "web-011", "frozen", "disabled", "revoked"];
        let [web_01, web_02, web_03, web_011, frozen, disabled, revoked]: [Host; 7] =
            names.map(|name| world.host(name));
        let bob = world.other_owner("bob", "otherorg");
        let other = world.cli("other-web-01");
        other.ok(&["hosts", "join", &text(&bob.json(&["hosts", "create", "otherorg/web-01"])["join_token"])]);

        let auditor = world.cli("auditor");
        let id = world.login("dora", &auditor);
        world.alice.ok(&["orgs", "members", "invite", "myorg", &id, "--role", "auditor"]);

        let cells: [(&'static str, &Cli); 8] = [
            ("myorg/web-01", &web_01.cli),
            ("myorg/web-02", &web_02.cli),
            ("myorg/web-03", &web_03.cli),
            ("myorg/web-011", &web_011.cli),
            ("myorg/frozen", &frozen.cli),
            ("myorg/disabled", &disabled.cli),
            ("myorg/revoked", &revoked.cli),
            ("otherorg/web-01", &other),
        ];
        let uploads = cells.map(|(namespace, cli)| (namespace, fill(&world.direct(cli), namespace))).into();

        let (disabled_door, revoked_door) = (world.direct(&disabled.cli), world.direct(&revoked.cli));
        let rejoin = text(&world.alice.json(&["hosts", "rejoin", "myorg/frozen"])["join_token"]);
        frozen.cli.ok(&["hosts", "join", &rejoin, "--replace"]);
        world.alice.ok(&["hosts", "disable", "myorg/disabled"]);
        world.alice.ok(&["hosts", "revoke", "myorg/revoked"]);
        let erin = world.cli("erin");
        let id = world.login("erin", &erin);
        world.alice.ok(&["orgs", "members", "invite", "myorg", &id, "--role", "owner"]);
        let erin_door = world.direct(&erin);
        erin_door.get("/myorg/web-01/object").expect(200);
        world.server.operator(&["users", "disable", &id]).ok();
        for (door, namespace) in [(&disabled_door, "disabled"), (&revoked_door, "revoked"), (&erin_door, "web-01")] {
            let path = format!("/myorg/{namespace}/object");
            wait::until("the end of a key", secs(6), || (door.get(&path).status == 403).then_some(()));
        }
        let lend = ["grants", "create", "myorg/web-01", "--to", "web-03", "--read", "--for", "24h"];
        let grant = text(&world.alice.json(&lend)["id"]);
        let narrowed = world.alice.ok(&["auth", "token", "--scope", "read:myorg/web-01"]).stdout;
        let address = world.server.address();
        let doors = Caller::ALL
            .map(|caller| {
                let door = match caller {
                    Caller::Host => world.direct(&web_01.cli),
                    Caller::Sibling => world.direct(&web_02.cli),
                    Caller::Granted => world.direct(&web_03.cli),
                    Caller::ReadOnlyHost => world.direct(&frozen.cli),
                    Caller::DisabledHost => disabled_door.clone(),
                    Caller::RevokedHost => revoked_door.clone(),
                    Caller::DisabledOwner => erin_door.clone(),
                    Caller::Owner => world.direct(&world.alice),
                    Caller::Auditor => world.direct(&auditor),
                    Caller::NarrowedOwner => Door::direct(address, narrowed.trim()),
                    Caller::OtherOwner => world.direct(&bob),
                    Caller::OtherHost => world.direct(&other),
                    Caller::Nobody => Door::anonymous(address),
                };
                (caller, door)
            })
            .into();
        Self { doors, uploads, grant, world }
    }

    pub(super) fn aim<'a>(&self, caller: Caller, door: &'a Door, target: Target) -> Aim<'a> {
        let own = caller.own();
        let (bucket, prefix) = match target {
            Target::Own => ("myorg", format!("{}/", &own["myorg/".len()..])),
            Target::Lent => ("myorg", "web-01/".into()),
            Target::Sibling => ("myorg", "web-011/".into()),
            Target::OrgRoot => ("myorg", String::new()),
            Target::OtherOrg => ("otherorg", "web-01/".into()),
            Target::NoOrg => ("no-such-org", "web-01/".into()),
        };
        let namespace = format!("{bucket}/{}", prefix.trim_end_matches('/'));
        let uploads = self.uploads.iter().find(|(name, _)| *name == namespace);
        let uploads = uploads.map_or_else(Uploads::none, |(_, uploads)| uploads.clone());
        let own = if matches!(caller, Caller::OtherHost | Caller::OtherOwner) { "otherorg/web-01" } else { own };
        Aim { door, bucket, prefix, uploads, own }
    }

    /// How often requests have touched the store so far.
    pub(super) fn operations(&self) -> u64 {
        let page = Door::anonymous(self.world.server.address()).get("/-/metrics").expect(200).text();
        let line = page.lines().find_map(|line| line.strip_prefix("kheeper_store_operations_total "));
        line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no counter of operations in {page}"))
    }
}

fn fill(door: &Door, namespace: &str) -> Uploads {
    let path = |name: &str| format!("/{namespace}/{name}");
    for name in ["object", "source", "doomed", "doomed-too"] {
        door.put(&path(name), STORED).expect(200);
    }
    let [open, finished, given_up] = ["big", "finished", "given-up"].map(|name| door.create_upload(&path(name)));
    door.part(&path("big"), &open, 1, STORED);
    let finished_etag = door.part(&path("finished"), &finished, 1, STORED);
    Uploads { open, finished, finished_etag, given_up }
}
