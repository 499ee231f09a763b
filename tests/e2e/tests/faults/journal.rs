//! What clients were told: the oracle of every crash test. It lives in the test, which does not crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
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
    /// Where it is kept too, for whoever looks into what went wrong: a line for what was sent, and one for its answer.
    file: Option<(PathBuf, Mutex<File>)>,
}

/// Bytes of the parts of an upload; what is shorter is sent as one part.
const PART_BYTES: usize = 5 << 20;

impl Journal {
    /// A journal that is also in a file, each line of it durable before the test goes on.
    pub(crate) fn in_file(path: &Path) -> Self {
        let file = File::create(path).expect("our own directory");
        Self { file: Some((path.to_owned(), Mutex::new(file))), ..Self::default() }
    }

    fn note(&self, what: &str, path: &str, new: Option<&Vec<u8>>) {
        let Some((_, file)) = &self.file else { return };
        let content = new.map_or_else(|| "nothing".to_owned(), |bytes| digest::sha256_hex(bytes));
        let mut file = file.lock().expect("no holder panics");
        file.write_all(format!("{what} {path} {content}\n").as_bytes()).expect("our own file");
        file.sync_data().expect("our own file");
    }

    /// What was said about `path` so far.
    fn history(&self, path: &str) -> Vec<String> {
        let text = self.file.as_ref().map(|(file, _)| std::fs::read_to_string(file).expect("our own file"));
        let text = text.unwrap_or_default();
        text.lines().filter(|line| line.split(' ').nth(1) == Some(path)).map(str::to_owned).collect()
    }

    /// What `path` holds, if that is certain and it holds anything.
    pub(crate) fn known(&self, path: &str) -> Option<Vec<u8>> {
        let keys = self.keys.lock().expect("no panic");
        keys.get(path)
            .filter(|expected| expected.in_doubt.is_empty())
            .and_then(|expected| expected.acknowledged.clone())
    }

    /// Sends a write, whose answer says whether the key now holds `new`.
    pub(crate) fn write(&self, path: &str, new: Option<Vec<u8>>, send: impl FnOnce() -> bool) -> bool {
        self.keys.lock().expect("no panic").entry(path.to_owned()).or_default().in_doubt.push(new.clone());
        self.note("sent", path, new.as_ref());
        let acknowledged = send();
        if acknowledged && !self.dark.load(Ordering::SeqCst) {
            self.note("done", path, new.as_ref());
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
        let mut listed: BTreeSet<String> = door.keys("myorg", &format!("{}/", host.name), 100).into_iter().collect();
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
            if found.is_some() != listed.remove(key) {
                wrong.push(format!("{path}: listed and not there, or the other way round"));
            }
            if found != expected.acknowledged && !expected.in_doubt.contains(&found) {
                let (had, has) = (expected.acknowledged.as_ref().map(Vec::len), found.as_ref().map(Vec::len));
                wrong.push(format!("{path}: {had:?} bytes were acknowledged, and {has:?} others are there"));
                wrong.extend(self.history(path));
            }
            if let Some(bytes) = &found {
                let etag = answer.header("etag").unwrap_or_default().trim_matches('"').to_owned();
                let parts: Vec<&[u8]> = bytes.chunks(PART_BYTES).collect();
                if etag != digest::md5_hex(bytes) && etag != digest::multipart_etag(&parts) {
                    wrong.push(format!("{path}: the ETag {etag} is not that of its bytes"));
                }
            }
            *expected = Expected { acknowledged: found, in_doubt: Vec::new() };
        }
        wrong.extend(listed.into_iter().map(|key| format!("{key}: nobody wrote it")));
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
        let mut parts = Vec::new();
        for (number, part) in (1..).zip(bytes.chunks(PART_BYTES)) {
            let target = format!("{path}?partNumber={number}&uploadId={id}");
            let etag = ok(door.put_request(&target, part).try_send(door.address))?.header("etag")?.to_owned();
            parts.push((number, etag));
        }
        let parts: Vec<(u32, &str)> = parts.iter().map(|(number, etag)| (*number, etag.as_str())).collect();
        let complete = door.request("POST", &format!("{path}?uploadId={id}")).body(s3::complete_body(&parts));
        ok(complete.try_send(door.address)).map(drop)
    };
    send().is_some()
}

pub(crate) fn copy(door: &Door, from: &str, to: &str) -> bool {
    let copy = door.request("PUT", to).header("x-amz-copy-source", from).body("");
    copy.try_send(door.address).is_ok_and(|answer| answer.status == 200)
}
