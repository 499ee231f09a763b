//! MinIO's client, `mc`.

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::{self, Client};
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Scene, command, files};

use crate::{assert_same, s, sample};

/// Just more than what mc sends in one piece, which no setting changes.
const PARTS_BYTES: usize = (16 << 20) + 1;

/// What is installed, by its own version.
pub(crate) fn installed() -> Option<Client> {
    let client = Client::installed("mc", "mc", &["--version"])?;
    Some(Client { version: module_version(), ..client })
}

#[test]
fn mc_does_its_whole_cycle() {
    if let Some(client) = installed() {
        cycle(&client, Wire::Plain);
        cycle(&client, Wire::Tls);
    }
}

/// Built as a module it calls itself DEVELOPMENT.GOGET; the module's version says from when it is.
fn module_version() -> String {
    let what = toolbox::installed("mc").expect("it ran").join("what");
    let what = std::fs::read_to_string(what).expect("tests/clients/install says what it installed");
    what.trim().rsplit_once('@').expect("a module with its version").1.to_owned()
}

fn cycle(client: &Client, wire: Wire) {
    let scene = Scene::start(wire);
    let mut row = Row::begin(&client.name, &client.version, wire);
    let (source, restored) = sample(&scene.path(""));
    files::write(&source.join("big.bin"), &files::random_bytes(3, PARTS_BYTES));
    let host = |args: &[&str]| {
        let mut mc = scene.host_client(&client.program, "mc");
        mc.args(args);
        command::run(mc, secs(180))
    };
    let owner = |args: &[&str]| {
        let mut mc = scene.owner_client(&client.program, "mc");
        mc.args(args);
        command::run(mc, secs(180))
    };
    let there = "myorg/myorg/web-01/mc";

    host(&["mirror", s(&source), there]).ok();
    row.did("mirror");
    let listed = host(&["ls", "--recursive", there]).ok().stdout;
    assert_eq!(listed.lines().count(), files::tree(&source).len(), "{listed}");
    assert!(listed.contains("dir/with space/and+plus.bin"), "{listed}");
    assert!(host(&["ls", "myorg/myorg"]).ok().stdout.contains("web-01/"));
    let stat = host(&["stat", "--json", &format!("{there}/big.bin")]).json();
    assert_eq!(stat["size"], PARTS_BYTES);
    row.did("ls and stat");
    files::write(&source.join("readme.txt"), b"overwritten\n");
    host(&["cp", s(&source.join("readme.txt")), &format!("{there}/readme.txt")]).ok();
    assert_eq!(host(&["cat", &format!("{there}/readme.txt")]).ok().stdout, "overwritten\n");
    row.did("overwrite");
    assert_eq!(host(&["cat", "--offset", "4", &format!("{there}/readme.txt")]).ok().stdout, "written\n");
    row.did("range");
    host(&["mv", &format!("{there}/dir/64KiB"), "myorg/myorg/web-01/moved/64KiB"]).ok();
    host(&["mv", "myorg/myorg/web-01/moved/64KiB", &format!("{there}/dir/64KiB")]).ok();
    row.did("move");
    host(&["mirror", there, s(&restored)]).ok();
    assert_same(&restored, &source);
    row.did("restore");
    let elsewhere = scene.path("elsewhere");
    owner(&["mirror", there, s(&elsewhere)]).ok();
    assert_same(&elsewhere, &source);
    owner(&["rm", &format!("{there}/empty")]).failed();
    row.did("owner reads");

    std::fs::remove_dir_all(source.join("dir")).expect("our own directory");
    host(&["mirror", "--overwrite", "--remove", s(&source), there]).ok();
    let again = scene.path("again");
    host(&["mirror", there, s(&again)]).ok();
    assert_same(&again, &source);
    row.did("prune and restore");
    host(&["rm", "--recursive", "--force", there]).ok();
    assert_eq!(host(&["ls", "--recursive", "myorg/myorg/web-01/mc/"]).stdout, "", "everything is deleted");
    row.did("rm");
    let refused = host(&["cp", s(&source.join("readme.txt")), "myorg/myorg/web-02/stolen"]).failed();
    assert!(refused.stderr.contains("Insufficient permissions"), "{refused}");
    row.did("refused elsewhere");
    row.green();
}
