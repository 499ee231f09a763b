//! Nothing from outside is unbounded.

use std::io::Write as _;
use std::net::TcpStream;

use kheeper_e2e::http::Body;
use kheeper_e2e::{World, digest, http};

#[test]
fn heads_metadata_and_bodies_have_limits_with_errors_of_their_own() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    for door in [world.direct(&host.cli), proxy.door()] {
        let path = host.path("a");
        let huge = door.request("GET", &path).header("x-filler", &"x".repeat(1 << 20)).try_send(door.address);
        if let Ok(answer) = huge {
            assert!(matches!(answer.status, 400 | 431), "{answer}");
        }
        let metadata = door.put_request(&path, b"a").header("x-amz-meta-a", &"x".repeat(3000));
        metadata.send(door.address).expect_error(400, "MetadataTooLarge");
        let too_large = door.request("PUT", &path).header("Content-Length", &(6_u64 << 30).to_string());
        too_large.send(door.address).expect_error(400, "EntityTooLarge");
        let md5 = digest::md5_base64(b"");
        let unsized_delete = door.request("POST", "/myorg?delete").header("Content-MD5", &md5).body("");
        unsized_delete.send(door.address).expect_error(400, "MalformedXML");
        door.get(&path).expect_error(404, "NoSuchKey");
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
    let many = format!("<Delete{attributes}><Object><Key>web-01/a</Key></Object></Delete>");
    door.post("/myorg?delete", &laughs).expect_error(400, "MalformedXML");
    let answer = door.post("/myorg?delete", &many);
    assert!(answer.status == 200 || answer.code() == "MalformedXML", "{answer}");
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
