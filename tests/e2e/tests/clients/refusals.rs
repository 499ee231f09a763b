//! What real clients make of a refusal, and of a store that is not there: their requests, counted at the proxy.
//!
//! A refusal (403, 501) is sent once; an absent store (503) is asked again, and the client says so at the end. What a client
//! does otherwise by itself is a bound here, and named on its page of `docs/clients`. What was counted is a row of the matrix.

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::{Done, Running, Scene, command};

use crate::asks::{self, Ask, Patience, Write, patient, prepare};

/// How many requests a client's write ends in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Requests {
    /// Each of what it asks, once: so many.
    Once(u64),
    /// The client tries again whatever it is told: so many at most.
    UpTo(u64),
    /// Nothing that it can be told to do is refused in this way.
    Never,
}

impl Requests {
    #[track_caller]
    pub(crate) fn check(self, status: u16, count: u64, done: &Done) {
        match self {
            Self::Once(requests) => assert_eq!(count, requests, "a {status} is final: {done}"),
            Self::UpTo(most) => assert!((2..=most).contains(&count), "a {status} was sent {count} times: {done}"),
            Self::Never => unreachable!("nothing is asked for"),
        }
    }
}

/// A client and what it is known to do.
struct Case {
    write: Write,
    forbidden: Requests,
    unsupported: Requests,
    /// Whether it gives an absent store up by itself within a test's time.
    gives_up: bool,
}

const FINAL: Requests = Requests::Once(1);
/// As often as it is told to try at all.
const AS_TOLD: Requests = Requests::UpTo(3);

/// A test for each client.
macro_rules! refusals {
    ($($name:ident: $client:expr, $case:expr;)*) => {
        $(#[test]
        fn $name() {
            if let Some(client) = $client {
                steer(&client, &$case);
            }
        })*
    };
}

fn case(write: Write, forbidden: Requests, unsupported: Requests) -> Case {
    Case { write, forbidden, unsupported, gives_up: true }
}

const VERSION: &[&str] = &["--version"];

refusals! {
    aws_cli_1_gives_up_a_refusal_at_once_and_asks_again_for_a_503:
        Client::installed("awscli-1", "aws", VERSION).map(|client| client.named("aws cli 1")), case(asks::aws, FINAL, FINAL);
    aws_cli_2_gives_up_a_refusal_at_once_and_asks_again_for_a_503:
        Client::distribution("aws", VERSION).map(|client| client.named("aws cli 2")), case(asks::aws, FINAL, FINAL);
    boto3_gives_up_a_refusal_at_once_and_asks_again_for_a_503:
        Client::installed("boto3", "python3", &["-c", "import boto3; print(boto3.__version__)"]),
        case(asks::boto3, FINAL, FINAL);
    barman_of_the_distribution_gives_up_a_refusal_at_once_and_asks_again_for_a_503:
        Client::distribution("barman-cloud-wal-archive", VERSION).map(|client| client.named("barman-cloud")),
        case(asks::barman, FINAL, FINAL);
    the_newest_barman_gives_up_a_refusal_at_once_and_asks_again_for_a_503:
        Client::installed("barman", "barman-cloud-wal-archive", VERSION).map(|client| client.named("barman-cloud")),
        case(asks::barman, FINAL, FINAL);
    rclone_of_the_distribution_gives_up_a_refusal_at_once_and_asks_again_for_a_503:
        Client::distribution("rclone", &["version"]), case(asks::rclone, FINAL, FINAL);
    the_newest_rclone_gives_up_a_refusal_at_once_and_asks_again_for_a_503:
        Client::installed("rclone", "rclone", &["version"]), case(asks::rclone, FINAL, FINAL);
    wal_g_gives_up_a_refusal_at_once_and_asks_again_for_a_503: Client::walg(), case(asks::walg, FINAL, FINAL);
    restic_of_the_distribution_gives_up_a_refusal_after_a_few_tries_and_asks_again_for_a_503:
        Client::distribution("restic", &["version"]),
        Case { gives_up: false, ..case(asks::restic, Requests::Once(3), Requests::Never) };
    the_newest_restic_gives_up_a_refusal_at_once_and_asks_again_for_a_503:
        Client::installed("restic", "restic", &["version"]),
        Case { gives_up: false, ..case(asks::restic, FINAL, Requests::Never) };
    s3cmd_of_the_distribution_gives_up_a_refusal_after_a_few_tries_and_asks_again_for_a_503:
        Client::distribution("s3cmd", VERSION), case(asks::s3cmd, FINAL, Requests::UpTo(6));
    the_newest_s3cmd_gives_up_a_refusal_after_a_few_tries_and_asks_again_for_a_503:
        Client::installed("s3cmd", "s3cmd", VERSION), case(asks::s3cmd, FINAL, AS_TOLD);
    s5cmd_gives_up_a_refusal_at_once_and_asks_again_for_a_503:
        Client::installed("s5cmd", "s5cmd", &["version"]), case(asks::s5cmd, FINAL, FINAL);
    mc_gives_up_a_refusal_at_once_and_asks_again_for_a_503:
        crate::mc::installed(), case(asks::mc, Requests::Once(2), Requests::UpTo(4));
    duplicity_of_the_distribution_gives_up_a_refusal_after_a_few_tries_and_asks_again_for_a_503:
        Client::distribution("duplicity", VERSION), case(asks::duplicity, AS_TOLD, AS_TOLD);
    the_newest_duplicity_gives_up_a_refusal_after_a_few_tries_and_asks_again_for_a_503:
        Client::installed("duplicity", "duplicity", VERSION), case(asks::duplicity, AS_TOLD, FINAL);
    litestream_gives_up_a_refusal_after_a_few_tries_and_asks_again_for_a_503:
        Client::installed("litestream", "litestream", &["version"]), case(asks::litestream, FINAL, Requests::UpTo(8));
}

/// It failed, and says what it met.
#[track_caller]
pub(crate) fn assert_named(done: &Done, words: &[&str]) {
    assert!(!done.status.success(), "{words:?}: {done}");
    assert!(words.iter().any(|word| done.text().contains(word)), "it names what it met, {words:?}: {done}");
}

/// What clients call each.
pub(crate) const FORBIDDEN: &[&str] =
    &["AccessDenied", "403", "Access Denied", "Insufficient permissions", "read-only"];
pub(crate) const UNSUPPORTED: &[&str] = &["NotImplemented", "501", "not implemented"];
pub(crate) const ABSENT: &[&str] = &["ServiceUnavailable", "503", "Service Unavailable", "cannot be reached"];

fn steer(client: &Client, case: &Case) {
    let mut scene = Scene::start(Wire::Plain);
    scene.world.host("web-02");
    prepare(&scene, 1000, 1);
    let mut row = Row::begin(&client.name, &client.version, Wire::Plain);
    let run = |scene: &Scene, ask| command::run(patient((case.write)(scene, client, ask), Patience::Short), secs(180));
    if client.name == "restic" {
        init(&scene, client);
    }
    run(&scene, Ask::Own).ok();

    let (refused, count) = scene.proxy.counting("4xx", || run(&scene, Ask::Foreign));
    assert_named(&refused, FORBIDDEN);
    case.forbidden.check(403, count, &refused);
    row.did(&format!("403 ends it ({count}x sent)"));
    if !matches!(case.unsupported, Requests::Never) {
        let (refused, count) = scene.proxy.counting("5xx", || run(&scene, Ask::Unsupported));
        assert_named(&refused, UNSUPPORTED);
        case.unsupported.check(501, count, &refused);
        row.did(&format!("501 ends it ({count}x sent)"));
    }
    scene.world.server.kill9();
    let (_, count) = scene.proxy.counting("5xx", || {
        if case.gives_up {
            assert_named(&run(&scene, Ask::Own), ABSENT);
        } else {
            goes_on_and_names(&scene, (case.write)(&scene, client, Ask::Own), ABSENT, || ());
        }
    });
    assert!(count >= 2, "a 503 was sent {count} times");
    row.did(&format!("503 is asked again ({count}x) and named"));
    row.green();
}

/// Makes the repository.
pub(crate) fn init(scene: &Scene, client: &Client) {
    let mut init = scene.host_client(&client.program, "restic");
    init.env("RESTIC_PASSWORD", "correct horse").args(["--no-cache", "init"]);
    command::run(init, secs(60)).ok();
}

/// A client that tries for many minutes: it names what it meets while it goes on. Then `lift`; and how it ends is the caller's.
pub(crate) fn goes_on_and_names(
    scene: &Scene,
    command: std::process::Command,
    words: &[&str],
    lift: impl FnOnce(),
) -> Running {
    let before = scene.proxy.answers("5xx");
    let mut running = Running::start("a patient client", command);
    running.wait_for_line(&format!("{words:?}"), secs(120), |line| {
        words.iter().any(|word| line.contains(word)).then_some(())
    });
    wait::until("it to ask again", secs(60), || (scene.proxy.answers("5xx") >= before + 2).then_some(()));
    lift();
    running
}
