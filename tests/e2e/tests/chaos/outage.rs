//! A server that answers 503 for minutes while PostgreSQL archives, and then is well again.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kheeper_e2e::archiver::{Archiver, Barman, WalG};
use kheeper_e2e::binaries::walg_is_here;
use kheeper_e2e::unix;
use kheeper_e2e::wait::{secs, until};

use crate::random::say;
use crate::stage::Stage;

/// How long it lasts unless `KHEEPER_OUTAGE_SECONDS` says otherwise; 600 is the long form.
const SECONDS: u64 = 20;
/// How soon after the end of it the first segment must be archived: PostgreSQL itself tries once a minute.
const SUCCESS_WITHIN: Duration = secs(60);
/// How long one run of an archiver may go on trying.
const REFUSED_WITHIN: Duration = secs(120);

#[test]
fn wal_g_archives_within_a_minute_of_the_end_of_an_outage_and_no_object_is_ever_empty() {
    if walg_is_here("outage") {
        archive_through_an_outage(&WalG);
    }
}

#[test]
fn barman_cloud_archives_within_a_minute_of_the_end_of_an_outage_and_no_object_is_ever_empty() {
    archive_through_an_outage(&Barman::DISTRIBUTION);
}

fn archive_through_an_outage(archiver: &'static dyn Archiver) {
    if !unix::is_root() {
        return say("not root: no small file system for the store\n");
    }
    let seconds = std::env::var("KHEEPER_OUTAGE_SECONDS").ok().map(|text| text.parse().expect("a number"));
    let outage = secs(seconds.unwrap_or(SECONDS));
    let mut stage = Stage::set(archiver);
    stage.cluster.insert(300);
    stage.cluster.archive_everything();

    let unavailable = Unavailable::start();
    stage.line.lead_to(unavailable.address);
    stage.line.cut();
    let before = stage.archived();
    let began = Instant::now();
    let mut last = String::new();
    while began.elapsed() < outage {
        stage.cluster.insert(300);
        last = stage.cluster.switch_segment();
        let refused = stage.archived().failures;
        until("another refused segment", REFUSED_WITHIN, || (stage.archived().failures > refused).then_some(()));
        assert_no_object_is_empty(&stage);
    }
    let during = stage.archived();
    assert_eq!(during.digests.len(), before.digests.len(), "nothing is taken for archived that nobody took");

    stage.line.lead_to(stage.world.server.address());
    stage.line.cut();
    let healed = Instant::now();
    until("the first segment", SUCCESS_WITHIN, || {
        assert_no_object_is_empty(&stage);
        (stage.archived().digests.len() > during.digests.len()).then_some(())
    });
    let first = healed.elapsed();
    // However many have gathered: each of them within the minute.
    while !stage.cluster.is_archived(&last) {
        let so_far = stage.archived().digests.len();
        until("the next segment", SUCCESS_WITHIN, || (stage.archived().digests.len() > so_far).then_some(()));
    }
    let waiting = stage.cluster.waiting_segments();
    assert!(waiting.iter().all(|segment| *segment > last), "pg_wal drains: {waiting:?}");
    let drained = healed.elapsed();
    let archived = stage.archived();
    stage.check_store(&archived);
    say(&format!(
        "{}: {outage:?} of 503, {} answers of it, {} archive commands failed; the first success {first:?} after the end, all \
         {} segments archived after {drained:?}\n",
        archiver.name(),
        unavailable.answers.load(Ordering::Relaxed),
        during.failures - before.failures,
        archived.digests.len() - before.digests.len(),
    ));
    stage.cluster.stop();
}

/// Asked of the server itself, which is well all the time.
fn assert_no_object_is_empty(stage: &Stage) {
    let (org, host) = stage.site.namespace.split_once('/').expect("org and host");
    let sizes = stage.world.direct(&stage.site.cli).sizes(org, &format!("{host}/"));
    assert!(!sizes.contains(&0), "an object is empty: {sizes:?}");
}

/// Answers everything with 503, as servers and what stands before them do it.
struct Unavailable {
    address: SocketAddr,
    answers: Arc<AtomicUsize>,
}

impl Unavailable {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let answers = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answers);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                thread::spawn(move || refuse(client, &count));
            }
        });
        Self { address, answers }
    }
}

fn refuse(mut client: TcpStream, count: &AtomicUsize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let xml =
        |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>not now</Message></Error>");
    let (kind, body) = match count.fetch_add(1, Ordering::Relaxed) % 4 {
        0 => ("application/xml\r\nretry-after: 1", xml("SlowDown")),
        1 => ("application/xml", xml("ServiceUnavailable")),
        2 => ("text/html", "<html><body>503 Service Unavailable</body></html>".to_owned()),
        _ => ("text/plain", String::new()),
    };
    let body = if head.starts_with(b"HEAD ") { "" } else { &body };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    // The rest of the request is read, so that the answer is not lost to a reset.
    if client.write_all(answer.as_bytes()).is_ok() && client.shutdown(Shutdown::Write).is_ok() {
        let _ = std::io::copy(&mut client, &mut std::io::sink());
    }
}
