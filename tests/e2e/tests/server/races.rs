//! Conditional writes that meet at one key, at the server and through a proxy at once: exactly one of them happens.

use std::sync::Barrier;
use std::thread;

use kheeper_e2e::s3::complete_body;
use kheeper_e2e::{Door, Request, Response, digest};

use crate::both_doors::BothDoors;

/// How many meet.
const RACERS: usize = 24;

/// Kept in the index, and as a blob.
const LENGTHS: [usize; 2] = [3000, 100_000];

/// What racer `n` writes: no two write the same.
fn body(n: usize, length: usize) -> Vec<u8> {
    vec![u8::try_from(n + 1).expect("few racers"); length]
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", digest::md5_hex(bytes))
}

impl BothDoors {
    /// The door of racer `n`.
    fn door(&self, n: usize) -> &Door {
        &self.doors[n % self.doors.len()].1
    }

    /// Sends the requests of all racers at once.
    fn race(&self, request: impl Fn(usize, &Door) -> Request) -> Vec<Response> {
        let start = Barrier::new(RACERS);
        thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS)
                .map(|n| {
                    let (door, start) = (self.door(n), &start);
                    let request = request(n, door);
                    scope.spawn(move || {
                        start.wait();
                        request.send(door.address)
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().expect("no racer panics")).collect()
        })
    }

    /// Checks that `path` is `expected` at both doors.
    #[track_caller]
    fn assert_holds(&self, path: &str, expected: &[u8]) {
        for (_, door) in &self.doors {
            let read = door.get(path).expect(200);
            assert!(read.body == expected, "{path}: {} bytes that the winner did not write", read.body.len());
        }
    }
}

/// The one that was told that it won; the others were told that they had not.
#[track_caller]
fn only_winner(answers: &[Response], what: &str) -> usize {
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    let winners: Vec<usize> = (0..answers.len()).filter(|n| statuses[*n] / 100 == 2).collect();
    assert_eq!(winners.len(), 1, "{what}: {statuses:?}");
    for loser in answers.iter().filter(|answer| answer.status / 100 != 2) {
        // 404 where the winner deleted it.
        assert!(matches!(loser.status, 404 | 409 | 412), "{what}: {loser}");
    }
    winners[0]
}

#[test]
fn of_many_overwrites_of_one_version_exactly_one_wins() {
    let scene = BothDoors::start();
    for length in LENGTHS {
        let path = format!("/myorg/web-01/overwritten/{length}");
        let mut current = b"the first version".to_vec();
        scene.doors[0].1.put(&path, &current).expect(200);
        // Each round is for the version that the last round's winner left.
        for round in 0..3 {
            let answers = scene.race(|n, door| {
                let bytes = [body(n, length), vec![round; 1]].concat();
                door.put_request(&path, &bytes).header("If-Match", &etag(&current))
            });
            let winner = only_winner(&answers, &format!("{length} bytes, round {round}"));
            current = [body(winner, length), vec![round; 1]].concat();
            assert_eq!(answers[winner].header("etag"), Some(etag(&current).as_str()));
            scene.assert_holds(&path, &current);
        }
    }
    scene.world.server.expect_nothing_left_over();
}

#[test]
fn of_many_copies_to_one_absent_or_one_unchanged_key_exactly_one_wins() {
    let scene = BothDoors::start();
    for length in LENGTHS {
        let path = format!("/myorg/web-01/copied/{length}");
        let source = |n: usize| format!("/myorg/web-01/source/{length}/{n}");
        for n in 0..RACERS {
            scene.door(n).put(&source(n), &body(n, length)).expect(200);
        }
        let copies = |condition: &str, value: &str| {
            let copy = |n: usize, door: &Door| {
                let request = door.request("PUT", &path).header("x-amz-copy-source", &source(n));
                request.header(condition, value).body("")
            };
            let winner = only_winner(&scene.race(copy), &format!("{condition}, {length} bytes"));
            scene.assert_holds(&path, &body(winner, length));
            winner
        };
        let created = copies("If-None-Match", "*");
        // The winner's own copy may be the same bytes again, and then the version it was for would still be there.
        scene.doors[0].1.put(&path, b"between").expect(200);
        copies("If-Match", &etag(b"between"));
        scene.assert_holds(&source(created), &body(created, length));
    }
}

#[test]
fn of_many_completes_of_one_absent_key_one_wins_and_the_other_uploads_stay_usable() {
    let scene = BothDoors::start();
    let path = "/myorg/web-01/completed";
    let uploads: Vec<(String, String)> = (0..RACERS)
        .map(|n| {
            let upload = scene.door(n).create_upload(path);
            let part = scene.door(n).part(path, &upload, 1, &body(n, 20_000));
            (upload, part)
        })
        .collect();
    let answers = scene.race(|n, door| {
        let (upload, part) = &uploads[n];
        let request = door.request("POST", &format!("{path}?uploadId={upload}")).header("If-None-Match", "*");
        request.body(complete_body(&[(1, part)]))
    });
    let winner = only_winner(&answers, "If-None-Match");
    scene.assert_holds(path, &body(winner, 20_000));
    for n in (0..RACERS).filter(|n| *n != winner) {
        let (upload, part) = &uploads[n];
        let door = scene.door(n + 1);
        let listed = door.get(&format!("{path}?uploadId={upload}")).expect(200).text();
        assert!(listed.contains(part.trim_matches('"')), "{listed}");
        door.complete(path, upload, &[(1, part)]).expect(200);
        scene.assert_holds(path, &body(n, 20_000));
    }
    scene.world.server.expect_nothing_left_over();
}

#[test]
fn of_deletes_and_overwrites_of_one_version_exactly_one_wins() {
    let scene = BothDoors::start();
    for length in LENGTHS {
        for round in 0..4 {
            let path = format!("/myorg/web-01/either/{length}/{round}");
            scene.doors[0].1.put(&path, b"before").expect(200);
            let answers = scene.race(|n, door| {
                let request = match (n / 2) % 2 {
                    0 => door.request("DELETE", &path),
                    _ => door.put_request(&path, &body(n, length)),
                };
                request.header("If-Match", &etag(b"before"))
            });
            let winner = only_winner(&answers, &path);
            match answers[winner].status {
                204 => scene.doors.iter().for_each(|(_, door)| {
                    door.get(&path).expect_error(404, "NoSuchKey");
                }),
                _ => scene.assert_holds(&path, &body(winner, length)),
            }
        }
    }
}

#[test]
fn a_delete_of_one_version_never_takes_the_one_that_was_written_over_it() {
    let scene = BothDoors::start();
    for round in 0..8 {
        let path = format!("/myorg/web-01/renewed/{round}");
        scene.doors[0].1.put(&path, b"before").expect(200);
        // One overwrites without a condition, in the midst of those who delete what they have seen.
        let answers = scene.race(|n, door| match n == RACERS / 2 {
            true => door.put_request(&path, b"after"),
            false => door.request("DELETE", &path).header("If-Match", &etag(b"before")),
        });
        assert_eq!(answers[RACERS / 2].status, 200);
        let deleted = answers.iter().filter(|answer| answer.status == 204).count();
        assert!(deleted <= 1, "{deleted} deleted the one version");
        scene.assert_holds(&path, b"after");
    }
}
