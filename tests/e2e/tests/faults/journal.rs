//! What clients were told: the oracle of every crash test. It lives in the test, which does not crash.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Door, digest, files, s3};

/// What one key must hold.
#[derive(Debug, Clone, Default)]
struct Expected {
    /// The last acknowledged content; `None` is deleted or never written.
    acknowledged: Option<Vec<u8>>,
    /// What was sent since and not acknowledged: each may have happened, wholly.
    in_doubt: Vec<Option<Vec<u8>>>,
}

/// What every key must hold, by its path.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    keys: Mutex<BTreeMap<String, Expected>>,
    /// Whether answers count no more: the power is being cut.
    dark: AtomicBool,
}

impl Journal {
    /// Sends a write, whose answer says whether the key now holds `new`.
    pub(crate) fn write(&self, path: &str, new: Option<Vec<u8>>, send: impl FnOnce() -> bool) -> bool {
        self.keys.lock().expect("no panic").entry(path.to_owned()).or_default().in_doubt.push(new.clone());
        let acknowledged = send();
        if acknowledged && !self.dark.load(Ordering::SeqCst) {
            let now = Expected { acknowledged: new, in_doubt: Vec::new() };
            self.keys.lock().expect("no panic").insert(path.to_owned(), now);
        }
        acknowledged
    }

    /// From now on no answer counts, until the next check: it may have been sent after the power was cut. A machine without
    /// power sends none; one whose file system is shut down goes on, and a sync that is under way then may say that all is
    /// well: docs/adr/0006.
    pub(crate) fn go_dark(&self) {
        self.dark.store(true, Ordering::SeqCst);
    }

    /// What contradicts it now. Whatever was in doubt is what it is from here on.
    pub(crate) fn contradictions(&self, door: &Door, host: &Host) -> Vec<String> {
        self.dark.store(false, Ordering::SeqCst);
        let mut wrong = Vec::new();
        let listed = door.keys("myorg", &format!("{}/", host.name), 100);
        for (path, expected) in self.keys.lock().expect("no panic").iter_mut() {
            let answer = match door.request("GET", path).try_send(door.address) {
                Ok(answer) => answer,
                Err(error) => {
                    wrong.push(format!("{path}: {error}"));
                    continue;
                }
            };
            let found = match answer.status {
                200 => Some(answer.body.clone()),
                404 => None,
                status => {
                    wrong.push(format!("{path}: {status}"));
                    continue;
                }
            };
            let key = path.strip_prefix("/myorg/").expect("our own paths");
            if found.is_some() != listed.iter().any(|listed| listed == key) {
                wrong.push(format!("{path}: listed and not there, or the other way round"));
            }
            if found != expected.acknowledged && !expected.in_doubt.contains(&found) {
                let (had, has) = (expected.acknowledged.as_ref().map(Vec::len), found.as_ref().map(Vec::len));
                wrong.push(format!("{path}: {had:?} bytes were acknowledged, and {has:?} others are there"));
            }
            if let Some(bytes) = &found {
                let etag = answer.header("etag").unwrap_or_default().trim_matches('"').to_owned();
                if etag != digest::md5_hex(bytes) && etag != digest::multipart_etag(&[bytes]) {
                    wrong.push(format!("{path}: the ETag {etag} is not that of its bytes"));
                }
            }
            *expected = Expected { acknowledged: found, in_doubt: Vec::new() };
        }
        wrong
    }

    /// Nothing contradicts it, and fsck finds nothing either.
    #[track_caller]
    pub(crate) fn check(&self, door: &Door, host: &Host, server: &kheeper_e2e::Server) {
        let wrong = self.contradictions(door, host);
        assert!(wrong.is_empty(), "{wrong:#?}");
        server.operator(&["fsck", "--read-data"]).ok();
    }
}

/// Writes with `writers` clients until `enough` writes are acknowledged, and then lets `hurt` end it.
pub(crate) fn write_until(
    doors: &[Door],
    host: &Host,
    journal: &Journal,
    (round, writers, enough): (u64, u64, usize),
    hurt: impl FnOnce(),
) {
    let (over, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for writer in 0..writers {
            let (over, acknowledged) = (&over, &acknowledged);
            let door = &doors[writer as usize % doors.len()];
            scope.spawn(move || {
                for step in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    if write_one(door, host, journal, writer, round * 100_000 + step) {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    } else {
                        thread::yield_now();
                    }
                }
            });
        }
        let came = wait::poll(secs(120), || (acknowledged.load(Ordering::Relaxed) >= enough).then_some(()));
        hurt();
        over.store(true, Ordering::Relaxed);
        assert!(came.is_some(), "only {} writes were acknowledged", acknowledged.load(Ordering::Relaxed));
    });
}

/// One write of a writer that has ten keys of its own: mostly PUTs of all sizes, some deletions, some uploads in parts.
fn write_one(door: &Door, host: &Host, journal: &Journal, writer: u64, step: u64) -> bool {
    let path = host.path(&format!("w{writer}/k{}", step % 10));
    let length = [10, 3000, 5000, 70_000, 300_000][(step % 5) as usize];
    let bytes = files::random_bytes(writer << 32 | step, length);
    if step % 7 == 6 {
        return journal.write(&path, None, || delete(door, &path));
    }
    journal.write(&path, Some(bytes.clone()), || {
        if step % 11 == 10 { upload(door, &path, &bytes) } else { put(door, &path, &bytes) }
    })
}

pub(crate) fn put(door: &Door, path: &str, bytes: &[u8]) -> bool {
    door.put_request(path, bytes).try_send(door.address).is_ok_and(|answer| answer.status == 200)
}

pub(crate) fn delete(door: &Door, path: &str) -> bool {
    door.request("DELETE", path).try_send(door.address).is_ok_and(|answer| answer.status == 204)
}

pub(crate) fn upload(door: &Door, path: &str, bytes: &[u8]) -> bool {
    let send = || {
        let ok = |answer: std::io::Result<kheeper_e2e::Response>| answer.ok().filter(|answer| answer.status == 200);
        let created = ok(door.request("POST", &format!("{path}?uploads")).body("").try_send(door.address))?;
        let id = s3::xml_values(&created.text(), "UploadId").pop()?;
        let target = format!("{path}?partNumber=1&uploadId={id}");
        let etag = ok(door.put_request(&target, bytes).try_send(door.address))?.header("etag")?.to_owned();
        let body = s3::complete_body(&[(1, &etag)]);
        ok(door.request("POST", &format!("{path}?uploadId={id}")).body(body).try_send(door.address)).map(drop)
    };
    send().is_some()
}
