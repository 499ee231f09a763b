//! Documents and tokens that nobody should send: S3's own error, soon, and nothing done.

use kheeper_e2e::s3::{percent, xml_values};
use kheeper_e2e::{Body, Door, World, digest};

#[test]
fn a_hostile_document_is_refused_and_does_nothing_at_both_doors() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    for door in [world.direct(&host.cli), proxy.door()] {
        let path = host.path("kept");
        door.put(&path, b"kept").expect(200);
        let upload = door.create_upload(&path);
        let etag = door.part(&path, &upload, 1, b"part");
        let laughs: String =
            (1..10).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
        let doctype = format!("<!DOCTYPE x [<!ENTITY l0 \"web-01/kept\">{laughs}]>");
        let external = "<!DOCTYPE x [<!ENTITY l9 SYSTEM \"file:///etc/passwd\">]>";
        for prolog in [doctype.as_str(), external] {
            for (target, body) in [
                ("/myorg?delete".to_owned(), "<Delete><Object><Key>&l9;</Key></Object></Delete>".to_owned()),
                (
                    format!("{path}?uploadId={upload}"),
                    format!(
                        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
                         </CompleteMultipartUpload>"
                    ),
                ),
            ] {
                door.post(&target, &format!("{prolog}{body}")).expect_error(400, "MalformedXML");
            }
            let tags = "<Tagging><TagSet><Tag><Key>&l9;</Key><Value/></Tag></TagSet></Tagging>";
            let put = door.request("PUT", &format!("{path}?tagging")).body(format!("{prolog}{tags}"));
            put.send(door.address).expect_error(400, "MalformedXML");
        }
        // Attributes or elements by the thousand are too many; depth has a bound.
        let attributes: String = (0..80_000).map(|n| format!(" a{n}=\"\"")).collect();
        let body = format!("<Delete{attributes}><Object><Key>web-01/never</Key></Object></Delete>");
        for body in [body, format!("<Delete>{}</Delete>", "<Quiet/>".repeat(100_000)), "<Delete>".repeat(50_000)] {
            door.post("/myorg?delete", &body).expect_error(400, "MalformedXML");
        }
        // Two gigabytes, declared or not, are never waited for.
        let declared = door.request("POST", "/myorg?delete").header("Content-MD5", &digest::md5_base64(b""));
        let declared = declared.framed(Body::Declared { length: 2 << 30, bytes: b"<Delete>".to_vec() });
        declared.send(door.address).expect_error(400, "EntityTooLarge");
        let endless = Body::Chunked { chunks: vec![vec![b' '; 1 << 20]; 4], trailers: Vec::new() };
        let endless = door.request("POST", "/myorg?delete").framed(endless).send(door.address).expect(400);
        assert!(
            ["EntityTooLarge", "MalformedXML", "MissingContentLength"].contains(&endless.code().as_str()),
            "{endless}"
        );

        assert_eq!(door.get(&path).expect(200).body, b"kept");
        assert_eq!(door.head(&path).expect(200).header("x-amz-tagging-count"), None);
        door.complete(&path, &upload, &[(1, &etag)]).expect(200);
    }
}

#[test]
fn a_position_of_another_listing_shows_nothing_that_is_not_the_callers() {
    let world = World::start();
    let (host, other) = (world.host("web-01"), world.host("web-02"));
    let proxy = world.host_proxy(&host);
    let other_door = world.direct(&other.cli);
    let doors = [world.direct(&host.cli), proxy.door()];
    for name in ["a", "b", "c/1", "c/2"] {
        doors[0].put(&host.path(name), b"x").expect(200);
        other_door.put(&other.path(name), b"x").expect(200);
    }
    let token_of = |door: &Door, parameters: &str| {
        let page = door.get(&format!("/myorg?list-type=2&max-keys=1{parameters}")).expect(200).text();
        percent(&xml_values(&page, "NextContinuationToken").remove(0))
    };
    let theirs = token_of(&other_door, "");
    let their_upload = other_door.create_upload(&other.path("a"));
    for door in &doors {
        let after = |prefix: &str, token: &str| {
            door.get(&format!("/myorg?list-type=2&prefix={prefix}&continuation-token={token}"))
        };
        after("web-01/", &theirs).expect_error(400, "InvalidArgument");
        let unprefixed = after("", &theirs).expect(200).text();
        assert_eq!(xml_values(&unprefixed, "Key"), [""; 0], "all of the caller's keys sort before: {unprefixed}");
        // Of a listing of the caller's own, with another prefix or from version 1.
        let own = token_of(door, "&prefix=web-01/c/");
        after("web-01/a", &own).expect_error(400, "InvalidArgument");
        assert_eq!(xml_values(&after("web-01/c/", &own).expect(200).text(), "Key"), ["web-01/c/2"]);
        for token in ["x", "!!", "web-01%2Fa", &"A".repeat(5000)] {
            after("web-01/", token).expect_error(400, "InvalidArgument");
        }
        let marker = door.get("/myorg?marker=web-00&prefix=").expect(200).text();
        assert_eq!(xml_values(&marker, "Key").len(), 4, "{marker}");
        let marker = door.get(&format!("/myorg?prefix=web-01/&marker={own}")).expect(200).text();
        assert!(xml_values(&marker, "Key").iter().all(|key| key.starts_with("web-01/")), "a marker is a key: {marker}");

        // A marker of another's listing of uploads, of their own id or of none, and parts that were never numbered so.
        let uploads = |markers: &str| door.get(&format!("/myorg?uploads&prefix=web-01/&{markers}"));
        let own_upload = door.create_upload(&host.path("mine"));
        for markers in [format!("key-marker=web-01/&upload-id-marker={their_upload}"), "key-marker=web-01/".to_owned()]
        {
            let text = uploads(&markers).expect(200).text();
            assert_eq!(xml_values(&text, "UploadId"), [own_upload.as_str()], "{markers}: {text}");
        }
        let text = uploads(&format!("key-marker=web-02/a&upload-id-marker={their_upload}")).expect(200).text();
        assert_eq!(xml_values(&text, "UploadId"), [""; 0], "{text}");
        uploads("key-marker=a&upload-id-marker=nonsense").expect_error(400, "InvalidArgument");
        let parts = format!("{}?uploadId={own_upload}&part-number-marker=", host.path("mine"));
        assert_eq!(xml_values(&door.get(&format!("{parts}9999")).expect(200).text(), "PartNumber"), [""; 0]);
        door.get(&format!("{parts}{theirs}")).expect_error(400, "InvalidArgument");
        door.delete(&format!("{}?uploadId={own_upload}", host.path("mine"))).expect(204);
    }
}

#[test]
fn uploads_and_parts_are_listed_page_by_page_with_every_parameter() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let door = proxy.door();
    let mut expected = Vec::new();
    for name in ["a b", "a+b", "d/1", "d/2", "e"] {
        let path = percent(&host.path(name));
        for _ in 0..2 {
            expected.push((format!("web-01/{name}"), door.create_upload(&path)));
        }
    }
    expected.sort();
    let page = |parameters: &str| door.get(&format!("/myorg?uploads&{parameters}")).expect(200).text();
    for max in [1, 3, 1000] {
        let (mut found, mut markers) = (Vec::new(), String::new());
        loop {
            let text = page(&format!("max-uploads={max}&prefix=web-01/{markers}"));
            let ids = xml_values(&text, "UploadId");
            assert!(ids.len() <= max, "{text}");
            found.extend(xml_values(&text, "Key").into_iter().zip(ids));
            if xml_values(&text, "IsTruncated") == ["false"] {
                break;
            }
            let next = |name: &str| percent(&xml_values(&text, name).remove(0));
            markers = format!("&key-marker={}&upload-id-marker={}", next("NextKeyMarker"), next("NextUploadIdMarker"));
        }
        assert_eq!(found, expected, "by {max}");
    }
    let rolled = page("prefix=web-01/&delimiter=/&encoding-type=url");
    assert_eq!(xml_values(&rolled, "EncodingType"), ["url"]);
    assert_eq!(xml_values(&rolled, "Key")[..4], ["web-01/a%20b", "web-01/a%20b", "web-01/a%2Bb", "web-01/a%2Bb"]);
    assert_eq!(xml_values(&xml_values(&rolled, "CommonPrefixes")[0], "Prefix"), ["web-01/d/"]);
    assert_eq!(xml_values(&page("max-uploads=0"), "UploadId"), [""; 0]);
    assert_eq!(xml_values(&page("prefix=web-01/e"), "Key"), ["web-01/e", "web-01/e"]);

    let (path, upload) = (host.path("e"), expected.last().expect("ten").1.clone());
    let etags: Vec<String> = [2, 5, 10_000].map(|n| door.part(&path, &upload, n, &[n as u8])).into();
    let parts = |parameters: &str| door.get(&format!("{path}?uploadId={upload}&{parameters}")).expect(200).text();
    let first = parts("max-parts=2");
    assert_eq!(
        (xml_values(&first, "PartNumber"), xml_values(&first, "NextPartNumberMarker")),
        (vec!["2".into(), "5".into()], vec!["5".into()])
    );
    let last = parts("max-parts=2&part-number-marker=5");
    assert_eq!(
        (xml_values(&last, "ETag"), xml_values(&last, "IsTruncated")),
        (vec![etags[2].clone()], vec!["false".into()])
    );
    assert_eq!(xml_values(&parts("part-number-marker=10000"), "PartNumber"), [""; 0]);
    door.get(&format!("{path}?uploadId={upload}&max-parts=-1")).expect_error(400, "InvalidArgument");
}
