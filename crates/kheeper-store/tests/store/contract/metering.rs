//! Usage: byte-seconds, traffic, quota, and the ledger's agreement with the rows.

use bytes::Bytes;
use kheeper_model::api::Quota;
use kheeper_model::limits::VERSIONS_PER_KEY_HOUR_MAX;
use kheeper_model::{AttemptId, ObjectHeaders};
use kheeper_store::{Month, NewObject, NewPart, NewUpload, Space, SpaceProbe, StoreError, Traffic};

use crate::fixture::{Fixture, NOON, fixture, fixture_with, integrity, key, new_object, payload};

async fn usage(fixture: &Fixture) -> kheeper_model::api::UsageRecord {
    fixture.store.usage(&"myorg".parse().unwrap(), None, None).await.unwrap().remove(0)
}

#[tokio::test]
async fn stored_bytes_cost_for_as_long_as_they_are_stored() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", &payload(1000)).await.unwrap();
    fixture.clock.advance_secs(7200);
    assert_eq!(usage(&fixture).await.byte_seconds, 1000 * 7200);
    // Hidden bytes cost as much as current ones.
    host.put("web-01/a", &payload(10)).await.unwrap();
    fixture.clock.advance_secs(100);
    let record = usage(&fixture).await;
    assert_eq!((record.current_bytes, record.hidden_bytes, record.uploading_bytes), (10, 1000, 0));
    assert_eq!(record.byte_seconds, 1000 * 7200 + 1010 * 100);
    let gib_months = record.byte_seconds as f64 / ((1_u64 << 30) as f64 * 730.0 * 3600.0);
    assert!((record.gib_months - gib_months).abs() < 1e-12);
    // Asking changes nothing.
    assert_eq!(usage(&fixture).await, record);
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_month_counts_its_own_hours_only() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", &payload(1000)).await.unwrap();
    let month = Month::of(fixture.store.now());
    let left = (month.next().start().as_secs() - fixture.store.now().as_secs()) as u64;
    fixture.clock.advance_secs(left + 50);
    host.put("web-01/b", &payload(1)).await.unwrap();
    fixture.clock.advance_secs(10);
    let org = "myorg".parse().unwrap();
    let of = |month| fixture.store.usage(&org, None, Some(month));
    assert_eq!(of(month).await.unwrap()[0].byte_seconds, 1000 * u128::from(left));
    assert_eq!(of(month.next()).await.unwrap()[0].byte_seconds, 1000 * 50 + 1001 * 10);
    assert_eq!(of(month.next().next()).await.unwrap()[0].byte_seconds, 0);
}

#[tokio::test]
async fn traffic_is_summed_and_survives_a_close() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let traffic = Traffic { ingress_bytes: 5, egress_bytes: 7, write_requests: 1, ..Traffic::default() };
    for _ in 0..3 {
        fixture.store.record_traffic(host.store.namespace_id(), traffic);
    }
    let fixture = fixture.reopen().await;
    let record = usage(&fixture).await;
    assert_eq!((record.ingress_bytes, record.egress_bytes, record.write_requests), (15, 21, 3));
    let of_host = fixture.store.usage(&"myorg".parse().unwrap(), Some(&"web-01".parse().unwrap()), None).await;
    assert_eq!(of_host.unwrap(), [record]);
    let absent = fixture.store.usage(&"myorg".parse().unwrap(), Some(&"web-02".parse().unwrap()), None).await;
    assert!(absent.unwrap().is_empty());
}

#[tokio::test]
async fn a_quota_counts_hidden_bytes_too_and_refuses_only_new_ones() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    fixture.set_quota(Quota::Bytes(1000)).await;
    host.put("web-01/a", &payload(600)).await.unwrap();
    assert!(matches!(host.put("web-01/a", &payload(401)).await, Err(StoreError::QuotaExceeded)));
    host.put("web-01/a", &payload(400)).await.unwrap();
    assert!(matches!(host.put("web-01/b", b"x").await, Err(StoreError::QuotaExceeded)));
    host.delete("web-01/a").await;
    assert!(matches!(host.put("web-01/b", b"x").await, Err(StoreError::QuotaExceeded)), "hidden bytes count");
    let large = host.put("web-01/large", &vec![7; 100_000]).await;
    assert!(matches!(large, Err(StoreError::QuotaExceeded)), "refused before a byte of it is written");
    fixture.set_quota(Quota::None).await;
    host.put("web-01/b", b"x").await.unwrap();
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_quota_counts_parts_of_uploads_that_are_not_complete() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    fixture.set_quota(Quota::Bytes(150_000)).await;
    host.put("web-01/a", &payload(20_000)).await.unwrap();
    let upload =
        NewUpload { key: key("web-01/b"), attempt: AttemptId::random(), headers: ObjectHeaders::new(), checksum: None };
    let upload = host.store.create_upload(upload).await.unwrap();
    let part = async |number, size| {
        let attempt = AttemptId::random();
        let part = NewPart { key: key("web-01/b"), upload, number, attempt, length: Some(size as u64) };
        let mut writer = host.store.begin_part(part).await?;
        writer.write(Bytes::from(payload(size))).await?;
        writer.commit(integrity(&payload(size))).await
    };
    part(1, 100_000).await.unwrap();
    let over = part(2, 40_000).await;
    assert!(matches!(over, Err(StoreError::QuotaExceeded)), "{over:?}");
    let over = host.put("web-01/c", &payload(40_000)).await;
    assert!(matches!(over, Err(StoreError::QuotaExceeded)), "what is uploading counts for everything: {over:?}");
    part(2, 30_000).await.unwrap();
    let record = usage(&fixture).await;
    assert_eq!((record.current_bytes, record.uploading_bytes), (20_000, 130_000));
    host.store.abort_upload(&key("web-01/b"), &upload).await.unwrap();
    host.put("web-01/c", &payload(130_000)).await.unwrap();
    fixture.assert_clean().await;
}

#[tokio::test]
async fn one_key_takes_so_many_versions_within_an_hour_and_other_keys_and_later_hours_go_on() {
    // Some at a time, which share a commit: all at once, the last would wait for longer than a commit may take.
    const AT_ONCE: usize = 60;
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for _ in 0..VERSIONS_PER_KEY_HOUR_MAX / AT_ONCE {
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let host = host.clone();
            writers.spawn(async move { host.put("web-01/a", b"again").await.map(drop) });
        }
        while let Some(written) = writers.join_next().await {
            written.unwrap().unwrap();
        }
    }
    let refused = host.put("web-01/a", b"once more").await;
    assert!(matches!(refused, Err(StoreError::Busy(_))), "{refused:?}");
    assert_eq!(host.read("web-01/a").await.unwrap(), b"again");
    host.put("web-01/b", b"other").await.unwrap();
    host.delete("web-01/a").await;
    fixture.clock.advance_secs(3601);
    host.put("web-01/a", b"an hour later").await.unwrap();
    fixture.assert_clean().await;
}

/// A disk of 100,000 bytes with so many free.
struct SmallDisk {
    free_bytes: u64,
}

impl SpaceProbe for SmallDisk {
    fn space(&self, _: &std::path::Path) -> std::io::Result<Space> {
        Ok(Space { total_bytes: 100_000, free_bytes: self.free_bytes })
    }
}

#[tokio::test]
async fn the_last_fifth_of_the_disk_is_for_those_who_hold_less_than_their_share() {
    for (free_bytes, is_scarce) in [(60_000, false), (19_000, true)] {
        let fixture = fixture_with(|options| options.space = std::sync::Arc::new(SmallDisk { free_bytes })).await;
        let greedy = fixture.host("web-01", 9).await;
        greedy.put("web-01/a", &payload(4000)).await.unwrap();
        // Alone, it has all of the disk; among fifty the share is 2,000 bytes.
        greedy.put("web-01/b", &payload(1000)).await.unwrap();
        let modest = fixture.host("web-02", 10).await;
        for number in 3..=50 {
            fixture.host(&format!("web-{number:02}"), 10 + number).await;
        }
        let more = greedy.put("web-01/c", b"x").await;
        assert_eq!(matches!(more, Err(StoreError::ShareExceeded)), is_scarce, "{more:?}");
        modest.put("web-02/a", &payload(1000)).await.unwrap();
        modest.put("web-02/b", &payload(900)).await.unwrap();
        let with_length = NewObject { length: Some(200), ..new_object("web-02/c", NOON) };
        let more = modest.put_new(with_length, &payload(200)).await;
        assert_eq!(matches!(more, Err(StoreError::ShareExceeded)), is_scarce, "{more:?}");
        greedy.delete("web-01/a").await;
        fixture.assert_clean().await;
    }
}
