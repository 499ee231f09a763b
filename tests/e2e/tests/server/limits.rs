//! Nothing from outside is unbounded.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;

use kheeper_e2e::http::Body;
use kheeper_e2e::wait::secs;
use kheeper_e2e::{World, digest, files, http};

#[test]
fn heads_metadata_and_bodies_have_limits_with_errors_of_their_own() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    for door in [world.direct(&host.cli), proxy.door()] {
        let path = host.path("a");
        let large =
            ["x-filler", "x-amz-meta-a"].map(|name| door.put_request(&path, b"a").header(name, &"x".repeat(70_000)));
        let many = (0..150).fold(door.put_request(&path, b"a"), |put, n| put.header(&format!("x-amz-meta-{n}"), "x"));
        for request in large.into_iter().chain([many]) {
            let refused = request.send(door.address).expect_error(400, "RequestHeaderSectionTooLarge");
            assert_eq!(refused.header("connection"), Some("close"), "the body was not read");
        }
        // What is far too much is not read to its end: HTTP's own status, which arrives, and the connection ends.
        let far_too_much = door.put_request(&path, b"a").header("x-filler", &"x".repeat(1 << 20));
        let refused = far_too_much.send(door.address).expect(431);
        assert_eq!((refused.header("connection"), refused.body.as_slice()), (Some("close"), &b""[..]), "{refused}");
        for bytes in [3000, 60_000] {
            let metadata = door.put_request(&path, b"a").header("x-amz-meta-a", &"x".repeat(bytes));
            metadata.send(door.address).expect_error(400, "MetadataTooLarge");
        }
        let too_large = door.request("PUT", &path).header("Content-Length", &(6_u64 << 30).to_string());
        too_large.send(door.address).expect_error(400, "EntityTooLarge");
        let asked = too_large.clone().header("Expect", "100-continue").send(door.address);
        assert!(!asked.expect_error(400, "EntityTooLarge").continued, "before a byte of it was sent");
        let md5 = digest::md5_base64(b"");
        let unsized_delete = door.request("POST", "/myorg?delete").header("Content-MD5", &md5).body("");
        unsized_delete.send(door.address).expect_error(400, "MalformedXML");
        door.get(&path).expect_error(404, "NoSuchKey");
    }
}

#[test]
fn many_heads_of_a_mebibyte_at_once_take_a_bounded_part_of_the_memory_and_of_nobodys_time() {
    const HEADS: usize = 256;
    let mut world = World::start();
    let host = world.host("web-01");
    let mut proxy = world.host_proxy(&host);
    let doors = [world.direct(&host.cli), proxy.door()];
    let path = host.path("a");
    doors.iter().for_each(|door| drop(door.put(&path, b"a").expect(200)));
    let before = [world.server.running().memory_peak_bytes(), proxy.running().memory_peak_bytes()];
    let filler = "x".repeat(1 << 20);
    thread::scope(|scope| {
        for n in 0..HEADS {
            let (door, path, filler) = (&doors[n % 2], &path, &filler);
            scope.spawn(move || door.request("GET", path).header("x-filler", filler).send(door.address).expect(431));
        }
        doors.iter().for_each(|door| assert_eq!(door.get(&path).expect(200).body, b"a"));
    });
    let after = [world.server.running().memory_peak_bytes(), proxy.running().memory_peak_bytes()];
    println!("{HEADS} heads of a MiB: peak memory of server and proxy before {before:?}, after {after:?}");
    // Half of them at each door. A head is read up to 128 KiB, and gathered in buffers of up to 512 KiB.
    for (before, after) in before.into_iter().zip(after) {
        assert!(after < before + (HEADS as u64 / 2) * (640 << 10), "{before} {after}");
    }
}

#[test]
fn what_is_no_http_ends_the_connection_and_nothing_else() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    for door in [world.direct(&host.cli), proxy.door()] {
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01\x00"[..],
            b"GET / HTTP/9.9\r\n\r\n",
            b"\0\0\0\0",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let answer = http::raw(door.address, bytes);
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        }
        // Many who connect and say nothing, or not enough, keep nobody out.
        let silent: Vec<TcpStream> = (0..200)
            .map(|n| {
                let mut stream = TcpStream::connect(door.address).expect("it listens");
                if n % 2 == 0 {
                    stream.write_all(b"GET /myorg").expect("it is connected");
                }
                stream
            })
            .collect();
        door.put(&host.path("a"), b"a").expect(200);
        assert_eq!(door.get(&host.path("a")).expect(200).body, b"a");
        drop(silent);
    }
}

#[test]
fn documents_made_to_cost_much_cost_nothing() {
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let before = world.server.running().memory_peak_bytes();
    let entities: String =
        (1..9).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
    let laughs =
        format!("<!DOCTYPE d [<!ENTITY l0 \"lol\">{entities}]><Delete><Object><Key>&l8;</Key></Object></Delete>");
    let attributes: String = (0..80_000).map(|n| format!(" a{n}=\"\"")).collect();
    let namespaces: String = (0..60_000).map(|n| format!(" xmlns:a{n}=\"b\"")).collect();
    let tail = "<Object><Key>web-01/a</Key></Object></Delete>";
    for (what, document) in [
        ("entities of entities", laughs),
        ("a type", format!("<!DOCTYPE d SYSTEM \"{}\"><Delete>{tail}", "d".repeat(1 << 20))),
        ("attributes", format!("<Delete{attributes}>{tail}")),
        ("namespaces", format!("<Delete{namespaces}>{tail}")),
        ("attributes of an empty element", format!("<Delete><Quiet{attributes}/>{tail}")),
        ("elements", format!("<Delete>{}{tail}", "<Quiet/>".repeat(200_000))),
        ("depth", "<Delete>".repeat(200_000)),
        ("a name", format!("<Delete><{}/>{tail}", "n".repeat(1 << 20))),
        ("no end", format!("<Delete><![CDATA[{}", "]".repeat(1 << 20))),
        ("comments", format!("<Delete>{}", "<!---->".repeat(200_000))),
        ("references", format!("<Delete><Object><Key>{}", "&#120;".repeat(300_000))),
    ] {
        let before = world.server.running().cpu_time();
        door.post("/myorg?delete", &document).expect_error(400, "MalformedXML");
        let taken = world.server.running().cpu_time() - before;
        println!("{what}: {} ms of a processor", taken.as_millis());
        assert!(taken <= secs(1), "{what}: {taken:?} of a processor");
    }
    // A length that says it all is refused before the body; one that is not said, once two mebibytes have come.
    let declared = door.request("POST", "/myorg?delete").header("Content-Length", &(1_u64 << 30).to_string());
    declared.send(door.address).expect_error(400, "EntityTooLarge");
    let chunks = vec![vec![b' '; 64 * 1024]; 64];
    let endless = door.request("POST", "/myorg?delete").framed(Body::Chunked { chunks, trailers: Vec::new() });
    let answer = endless.send(door.address);
    assert_eq!(answer.status, 400, "{answer}");
    let after = world.server.running().memory_peak_bytes();
    println!("peak memory before and after: {before}, {after} bytes");
    assert!(after < before + (64 << 20), "{before} {after}");
}

#[test]
fn a_default_quota_holds_for_hosts_of_which_nothing_was_said_and_counts_parts_at_both_doors() {
    let world = World::start_with(&["--quota-default", "1MiB"]);
    let bytes = files::random_bytes(1, 400_000);
    for name in ["direct", "proxy"] {
        let host = world.host(name);
        let proxy = world.host_proxy(&host);
        let door = if name == "direct" { world.direct(&host.cli) } else { proxy.door() };
        let (kept, path) = (host.path("kept"), host.path("b"));
        door.put(&kept, &bytes).expect(200);
        let upload = door.create_upload(&path);
        door.part(&path, &upload, 1, &bytes);
        // Less than a MiB is stored, and with what is uploading there is no room for this.
        let part = format!("{path}?partNumber=2&uploadId={upload}");
        for target in [&part, &path, &kept] {
            door.put(target, &bytes).expect_error(403, "QuotaExceeded");
            let asked = door.put_request(target, &bytes).header("Expect", "100-continue").send(door.address);
            assert!(!asked.expect_error(403, "QuotaExceeded").continued, "{name}: before a byte of it was sent");
        }
        let usage = world.alice.json(&["usage", "--org", "myorg", "--host", name])[0].clone();
        assert_eq!((&usage["current_bytes"], &usage["uploading_bytes"]), (&400_000.into(), &400_000.into()), "{usage}");
        assert!(door.get(&kept).expect(200).body == bytes, "{name}: what is there can be read");
        // The owner's word goes before the server's.
        world.alice.ok(&["hosts", "set", &host.namespace(), "--quota", "none"]);
        door.put(&path, &bytes).expect(200);
        world.alice.ok(&["hosts", "set", &host.namespace(), "--quota", "default"]);
        door.put(&path, &bytes).expect_error(403, "QuotaExceeded");
        door.request("DELETE", &format!("{path}?uploadId={upload}")).send(door.address).expect(204);
        // What was deleted is kept, and counts: only no window at all makes room at once.
        door.delete(&kept).expect(204);
        door.put(&kept, &bytes).expect_error(403, "QuotaExceeded");
    }
}
