//! What real clients make of a store that has too much to do (503 `SlowDown`), is full (507), or holds as much of a host's as
//! its quota allows (403). What goes by is asked again until it has gone by, and whatever it is, the client prints its name.

use std::io::Write as _;
use std::iter;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kheeper_e2e::http::Body;
use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::ORG;
use kheeper_e2e::{Door, Running, Scene, World, command, unix};

use crate::asks::{self, Ask, Patience, Write, patient, prepare};
use crate::refusals::{assert_named, goes_on_and_names, init};

/// What one host may have under way in these worlds, and how many more of its requests wait for their turn.
const PLACES: usize = 8;
/// What each client sends: more than a full disk takes, in one piece by all of them.
const BYTES: usize = 4 << 20;

/// The tests of each client.
macro_rules! meets {
    ($($name:ident: $client:expr, $write:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn asks_again_while_the_store_is_overloaded_and_names_it() {
                if let Some(client) = $client {
                    overloaded(&client, $write);
                }
            }

            #[test]
            fn names_a_full_store_and_a_full_quota() {
                if !unix::is_root_for(concat!(stringify!($name), "::names_a_full_store_and_a_full_quota")) {
                    return;
                }
                if let Some(client) = $client {
                    full(&client, $write);
                }
            }
        })*
    };
}

meets! {
    aws_cli: Client::installed("awscli-1", "aws", &["--version"]).map(|client| client.named("aws cli 1")), asks::aws;
    boto3: Client::installed("boto3", "python3", &["-c", "import boto3; print(boto3.__version__)"]), asks::boto3;
    rclone: Client::installed("rclone", "rclone", &["version"]), asks::rclone;
    restic: Client::installed("restic", "restic", &["version"]), asks::restic;
    wal_g: Client::walg(), asks::walg;
}

/// While the store is overloaded it asks for nothing but its bucket's region, for minutes, before it says a word.
#[test]
fn restic_of_the_distribution_names_a_full_store_and_a_full_quota() {
    if !unix::is_root_for("restic_of_the_distribution_names_a_full_store_and_a_full_quota") {
        return;
    }
    if let Some(client) = Client::distribution("restic", &["version"]) {
        full(&client, asks::restic);
    }
}

fn overloaded(client: &Client, write: Write) {
    let scene = Scene::in_world(World::start_with(&["--requests-per-caller", &PLACES.to_string()]), Wire::Plain);
    let mut row = Row::begin(&client.name, &client.version, Wire::Plain);
    begin(&scene, client, 1000);
    let words = ["SlowDown", "503", "reduce your request rate", "Slow Down"];
    let asks = || patient(write(&scene, client, Ask::Own), Patience::Own);

    let flood = Flood::begin(&scene);
    if client.name == "restic" {
        let mut running = goes_on_and_names(&scene, asks(), &words, || drop(flood));
        succeeds(&mut running);
        row.did("SlowDown is named and asked again, and succeeds once the load is gone");
        return row.green();
    }
    let short = || command::run(patient(write(&scene, client, Ask::Own), Patience::Short), secs(120));
    let (refused, count) = scene.proxy.counting("5xx", short);
    assert_named(&refused, &words);
    assert!(count >= 2, "SlowDown was sent {count} times: {refused}");
    row.did(&format!("SlowDown is asked again ({count}x) and named"));
    let before = scene.proxy.answers("5xx");
    let mut running = Running::start(&client.name, asks());
    wait::until("it to be told to slow down", secs(60), || (scene.proxy.answers("5xx") > before).then_some(()));
    drop(flood);
    succeeds(&mut running);
    row.did("it succeeds once the load is gone");
    row.green();
}

fn full(client: &Client, write: Write) {
    let (world, disk) = World::start_on_disk("size=64m");
    let scene = Scene::in_world(world, Wire::Plain);
    // Declared after the scene that has the world now.
    let disk = disk;
    let mut row = Row::begin(&client.name, &client.version, Wire::Plain);
    begin(&scene, client, BYTES);
    let quota = |quota: &str| {
        scene.world.alice.ok(&["hosts", "set", &scene.host.namespace(), "--quota", quota]);
    };
    quota("1MiB");
    meets(&scene, client, write, &["QuotaExceeded", "quota"], || quota("none"));
    row.did("a full quota is named, and more of it is used");
    let door = scene.world.direct(&scene.host.cli);
    let bytes = kheeper_e2e::files::random_bytes(5, BYTES);
    let full = (0..16).find(|n| door.put(&scene.host.path(&format!("filling/{n}")), &bytes).status == 507);
    assert!(full.is_some(), "64 MiB hold no 16 times 4 MiB");
    // Other bytes: restic stores none twice.
    prepare(&scene, BYTES, 2);
    meets(&scene, client, write, &["XKheeperStorageFull", "507", "no room left"], || {
        disk.remount("size=256m");
        door.put_into_new_room(&scene.host.path("room"), &bytes).expect(200);
    });
    row.did("a full store (507) is named, and room in it is used");
    row.green();
}

/// It fails and names it, or goes on and names it; after `lift` it succeeds.
fn meets(scene: &Scene, client: &Client, write: Write, words: &[&str], lift: impl FnOnce()) {
    if client.name == "restic" {
        let asks = patient(write(scene, client, Ask::Own), Patience::Own);
        let mut running = Running::start("restic", asks);
        let named = running.wait_for_line(&format!("{words:?}"), secs(120), |line| {
            words.iter().any(|word| line.contains(word)).then(|| line.to_owned())
        });
        lift();
        // Whether it gave up at once or goes on by itself depends on its version; another backup succeeds.
        println!("{}: {named}", client.version);
        if running.wait(secs(180)).success() {
            return;
        }
    } else {
        let refused = command::run(patient(write(scene, client, Ask::Own), Patience::Short), secs(120));
        assert_named(&refused, words);
        lift();
    }
    command::run(patient(write(scene, client, Ask::Own), Patience::Own), secs(180)).ok();
}

fn begin(scene: &Scene, client: &Client, bytes: usize) {
    prepare(scene, bytes, 1);
    if client.name == "restic" {
        init(scene, client);
    }
}

#[track_caller]
fn succeeds(running: &mut Running) {
    let status = running.wait(secs(180));
    assert!(status.success(), "{status}: {}", running.log());
}

/// A host's own requests that fill every place it has at the server, and the line before them, until this is dropped.
struct Flood {
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    fn begin(scene: &Scene) -> Self {
        let (door, ends) = (scene.world.direct(&scene.host.cli), Arc::new(AtomicBool::new(false)));
        let bodies: Vec<TcpStream> =
            (0..PLACES).map(|n| body_without_end(&door, &scene.host.path(&format!("flood/{n}")))).collect();
        let mut threads =
            vec![spawn(&ends, move || bodies.iter().for_each(|mut body| body.write_all(b"a").expect("it goes on")))];
        // Listings have a line of their own. Twice as many as wait in each: one that has waited long enough and is told to
        // slow down is followed by another.
        let lines = [scene.host.path("flood/absent"), format!("/{ORG}?list-type=2&prefix=web-01/flood/")];
        let asking = lines.map(|target| door.request("GET", &target));
        for get in asking.iter().flat_map(|get| iter::repeat_n(get, 2 * PLACES)) {
            let (get, address) = (get.clone(), door.address);
            // At the end the places are free, and it is answered.
            threads.push(spawn(&ends, move || drop(get.try_send(address))));
        }
        wait::until("the places and both lines to be full", secs(60), || {
            asking.iter().all(|get| get.try_send(door.address).is_ok_and(|answer| answer.status == 503)).then_some(())
        });
        Self { ends, threads }
    }
}

/// Does it again and again until the end.
fn spawn(ends: &Arc<AtomicBool>, act: impl Fn() + Send + 'static) -> JoinHandle<()> {
    let ends = Arc::clone(ends);
    thread::spawn(move || {
        while wait::poll(Duration::from_millis(100), || ends.load(Ordering::Relaxed).then_some(())).is_none() {
            act();
        }
    })
}

fn body_without_end(door: &Door, path: &str) -> TcpStream {
    let body = Body::Declared { length: 1 << 20, bytes: Vec::new() };
    door.request("PUT", path).framed(body).open(door.address).expect("it listens")
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the flood broke off");
        }
    }
}
