//! What a client may do, done to the store and to the model.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kheeper_model::limits::REPLAY_BYTES_MAX;
use kheeper_model::{AttemptId, Clock as _, ContentId, Crc64Nvme, ETag, Md5Digest, ObjectHeaders};
use kheeper_store::{
    CompletePart, CompleteRequest, CopyRequest, ETagMatch, Integrity, ListQuery, NewObject, NewPart, NewUpload,
    Precondition, StoreError, Written,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _};

use crate::model::{Object, Part, Repeatable, Upload};
use crate::world::{World, key};

/// The keys there are, in order.
pub(crate) const KEYS: [&str; 7] =
    ["web-01/a", "web-01/b", "web-01/d/1", "web-01/d/2", "web-01/d/e/3", "web-01/e", "web-01/\u{e9}"];

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    PutSmall,
    PutLarge,
    PutHuge,
    PutAgain,
    PutOnNewDay,
    Delete,
    DeleteMany,
    Copy,
    CreateUpload,
    PutPart,
    Complete,
    CompleteAgain,
    Abort,
    Sweep,
    Get,
    GetRange,
    List,
    Start,
}

impl Kind {
    /// All of them, and how often each comes beside the others.
    pub(crate) const ALL: [(Self, u32); 18] = [
        (Self::PutSmall, 12),
        (Self::PutLarge, 25),
        (Self::PutHuge, 1),
        (Self::PutAgain, 4),
        (Self::PutOnNewDay, 1),
        (Self::Delete, 6),
        (Self::DeleteMany, 2),
        (Self::Copy, 6),
        (Self::CreateUpload, 5),
        (Self::PutPart, 10),
        (Self::Complete, 4),
        (Self::CompleteAgain, 2),
        (Self::Abort, 1),
        (Self::Sweep, 2),
        (Self::Get, 8),
        (Self::GetRange, 6),
        (Self::List, 4),
        (Self::Start, 1),
    ];
}

fn md5(bytes: &[u8]) -> Md5Digest {
    let mut md5 = md5_simd::Md5::new();
    md5.update(bytes);
    Md5Digest(md5.finalize())
}

pub(crate) fn integrity(bytes: &[u8]) -> Integrity {
    let crc64nvme = Crc64Nvme(crc_fast::crc64_nvme(bytes));
    Integrity { length: bytes.len() as u64, crc64nvme, md5: md5(bytes), checksum: None }
}

fn attempt(chance: &mut StdRng) -> AttemptId {
    let mut attempt = [0; 16];
    chance.fill_bytes(&mut attempt);
    AttemptId(attempt)
}

fn body(chance: &mut StdRng, lengths: std::ops::Range<usize>) -> Arc<Vec<u8>> {
    let mut bytes = vec![0; chance.random_range(lengths)];
    chance.fill_bytes(&mut bytes);
    Arc::new(bytes)
}

fn any_key(chance: &mut StdRng) -> &'static str {
    KEYS.choose(chance).unwrap()
}

impl World {
    /// Does one operation, and, if the store says that it was done, the same to the model. An error of the store must
    /// mean that nothing changed.
    pub(crate) async fn perform(&mut self, kind: Kind, chance: &mut StdRng) -> Result<(), StoreError> {
        match kind {
            Kind::PutSmall => self.put(chance, 0..4097).await,
            Kind::PutLarge | Kind::PutOnNewDay => self.put(chance, 4097..200_000).await,
            Kind::PutHuge => self.put(chance, 1_100_000..2_300_000).await,
            Kind::PutAgain => self.put_again().await,
            Kind::Delete => self.delete(&[any_key(chance)], chance).await,
            Kind::DeleteMany => self.delete(&[any_key(chance), any_key(chance), any_key(chance)], chance).await,
            Kind::Copy => self.copy(chance).await,
            Kind::CreateUpload => self.create_upload(chance).await,
            Kind::PutPart => self.put_part(chance).await,
            Kind::Complete => self.complete(chance).await,
            Kind::CompleteAgain => self.complete_again().await,
            Kind::Abort => self.abort(chance).await,
            // A run is stopped far more often than any server is: its orphans are many, and expected.
            Kind::Sweep => self.store.sweep_accepting(u64::MAX).await.map(drop),
            Kind::Get => self.get(chance).await,
            Kind::GetRange => self.get_range(chance).await,
            Kind::List => self.list(chance).await,
            Kind::Start => Ok(()),
        }
    }

    async fn put(&mut self, chance: &mut StdRng, lengths: std::ops::Range<usize>) -> Result<(), StoreError> {
        let name = any_key(chance);
        let bytes = body(chance, lengths);
        let current = self.model.objects.get(name).map(|object| object.etag.clone());
        let (precondition, holds) = match chance.random_range(0..10) {
            0 => (Precondition::absent(), current.is_none()),
            1 => {
                let tag = current.clone().unwrap_or_else(|| ETag::new(&"0".repeat(32)));
                (Precondition { if_match: Some(ETagMatch::OneOf(vec![tag])), if_none_match: None }, current.is_some())
            }
            2 => {
                let other = ETagMatch::OneOf(vec![ETag::new(&"1".repeat(32))]);
                (Precondition { if_match: Some(other), if_none_match: None }, false)
            }
            _ => (Precondition::NONE, true),
        };
        let length = chance.random_bool(0.7).then_some(bytes.len() as u64);
        let began = self.store.now();
        let headers = ObjectHeaders::new();
        let request = NewObject { key: key(name), attempt: attempt(chance), began, length, headers, precondition };
        match self.send(request.clone(), &bytes).await {
            Ok(answer) => {
                assert!(holds, "a precondition that does not hold was not refused");
                let files = self.disk.created();
                self.written(name, &bytes, &answer, files);
                // A longer one is never sent again under a condition: its body could not have been replayed.
                let repeatable = length.is_some_and(|length| length <= REPLAY_BYTES_MAX as u64);
                if repeatable || request.precondition.is_none() {
                    self.model.put = Some(Repeatable { request, bytes, answer });
                }
                Ok(())
            }
            Err(StoreError::PreconditionFailed | StoreError::NoSuchKey) if !holds => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, request: NewObject, bytes: &[u8]) -> Result<Written, StoreError> {
        let mut writer = self.host.begin_put(request).await?;
        for piece in bytes.chunks(60_000) {
            writer.write(Bytes::copy_from_slice(piece)).await?;
        }
        writer.commit(integrity(bytes)).await
    }

    /// The model's part of a write that was acknowledged.
    fn written(&mut self, name: &str, bytes: &Arc<Vec<u8>>, answer: &Written, files: Vec<std::path::PathBuf>) {
        assert_eq!(answer.bytes, bytes.len() as u64);
        let (etag, last_modified) = (answer.etag.clone(), answer.last_modified);
        if let Some(old) = self.model.objects.get(name) {
            assert!(old.last_modified < last_modified, "{name}: Last-Modified must go on");
        }
        self.model.write(name, Object { bytes: Arc::clone(bytes), etag, last_modified, files });
    }

    /// The same write again: the same answer, and nothing changes.
    async fn put_again(&mut self) -> Result<(), StoreError> {
        let Some(Repeatable { request, bytes, answer }) = self.model.put.clone() else { return Ok(()) };
        let again = self.send(request, &bytes).await?;
        assert_eq!(again, repeated(answer));
        Ok(())
    }

    async fn delete(&mut self, names: &[&'static str], chance: &mut StdRng) -> Result<(), StoreError> {
        let keys = names.iter().map(|name| key(name)).collect();
        self.host.delete_many(keys, attempt(chance)).await?;
        let now = self.clock.now();
        names.iter().for_each(|name| self.model.hide(name, now));
        Ok(())
    }

    async fn copy(&mut self, chance: &mut StdRng) -> Result<(), StoreError> {
        let (from, to) = (any_key(chance), any_key(chance));
        let source = match self.host.reader().head(&key(from)).await {
            Ok(source) => source,
            Err(StoreError::NoSuchKey) if !self.model.objects.contains_key(from) => return Ok(()),
            Err(error) => return Err(error),
        };
        let request = CopyRequest {
            key: key(to),
            attempt: attempt(chance),
            began: self.store.now(),
            source,
            checksum: None,
            headers: None,
            precondition: Precondition::NONE,
        };
        let answer = self.host.copy(request).await?;
        let source = self.model.objects[from].clone();
        assert_eq!(answer.etag, source.etag);
        self.written(to, &source.bytes, &answer, source.files);
        Ok(())
    }

    async fn create_upload(&mut self, chance: &mut StdRng) -> Result<(), StoreError> {
        if self.model.uploads.len() >= 4 {
            return Ok(());
        }
        let name = any_key(chance);
        let headers = ObjectHeaders::new();
        let upload = NewUpload { key: key(name), attempt: attempt(chance), headers, checksum: None };
        let id = self.host.create_upload(upload).await?;
        self.model.uploads.push(Upload {
            id,
            key: name.to_owned(),
            active_at: self.clock.now(),
            parts: BTreeMap::new(),
        });
        Ok(())
    }

    async fn put_part(&mut self, chance: &mut StdRng) -> Result<(), StoreError> {
        let Some(upload) = self.model.uploads.choose(chance).cloned() else { return Ok(()) };
        let bytes = body(chance, 0..90_000);
        let number = chance.random_range(1..4);
        let (attempt, length) = (attempt(chance), Some(bytes.len() as u64));
        let part = NewPart { key: key(&upload.key), upload: upload.id, number, attempt, length };
        let mut writer = self.host.begin_part(part).await?;
        writer.write(Bytes::copy_from_slice(&bytes)).await?;
        let answer = writer.commit(integrity(&bytes)).await?;
        let files = self.disk.created();
        let listed = CompletePart { number, etag: answer.etag, checksums: Vec::new() };
        self.upload(upload.id).active_at = self.clock.now();
        self.upload(upload.id).parts.insert(number, Part { listed, bytes, files });
        Ok(())
    }

    fn upload(&mut self, id: ContentId) -> &mut Upload {
        self.model.uploads.iter_mut().find(|upload| upload.id == id).unwrap()
    }

    /// Completes an upload with one of its parts: all but the last would have to be of 5 MiB.
    async fn complete(&mut self, chance: &mut StdRng) -> Result<(), StoreError> {
        let ready: Vec<Upload> = self.model.uploads.iter().filter(|upload| !upload.parts.is_empty()).cloned().collect();
        let Some(upload) = ready.choose(chance) else { return Ok(()) };
        let part = upload.parts.values().collect::<Vec<_>>().choose(chance).copied().cloned().unwrap();
        let request = CompleteRequest {
            key: key(&upload.key),
            upload: upload.id,
            parts: vec![part.listed],
            attempt: attempt(chance),
            object_bytes: None,
            checksum: None,
            checksum_kind: None,
            precondition: Precondition::NONE,
        };
        let answer = self.host.complete_upload(request.clone()).await?;
        self.model.uploads.retain(|other| other.id != upload.id);
        self.written(&upload.key, &part.bytes, &answer, part.files);
        self.model.complete = Some(Repeatable { request, bytes: part.bytes, answer });
        Ok(())
    }

    /// The same list again, by another attempt: the same answer.
    async fn complete_again(&mut self) -> Result<(), StoreError> {
        let Some(Repeatable { mut request, answer, .. }) = self.model.complete.clone() else { return Ok(()) };
        request.attempt.0[0] ^= 1;
        assert_eq!(self.host.complete_upload(request).await?, repeated(answer));
        Ok(())
    }

    async fn abort(&mut self, chance: &mut StdRng) -> Result<(), StoreError> {
        let Some(upload) = self.model.uploads.choose(chance).cloned() else { return Ok(()) };
        self.host.abort_upload(&key(&upload.key), &upload.id).await?;
        self.model.uploads.retain(|other| other.id != upload.id);
        Ok(())
    }

    async fn get(&self, chance: &mut StdRng) -> Result<(), StoreError> {
        let name = any_key(chance);
        let found = self.read(name).await?;
        assert!(found.as_ref() == self.model.objects.get(name).map(|object| &*object.bytes), "{name}");
        Ok(())
    }

    async fn get_range(&self, chance: &mut StdRng) -> Result<(), StoreError> {
        let name = any_key(chance);
        let Some(expected) = self.model.objects.get(name) else { return Ok(()) };
        let object = self.host.reader().get(&key(name)).await?;
        let length = expected.bytes.len();
        let start = chance.random_range(0..=length);
        let end = chance.random_range(start..=length);
        let mut stream = object.stream(start as u64..end as u64).await?;
        let mut read = Vec::new();
        while let Some(bytes) = stream.next().await {
            read.extend_from_slice(&bytes?);
        }
        assert!(read == expected.bytes[start..end], "{name}: {start}..{end}");
        Ok(())
    }

    async fn list(&self, chance: &mut StdRng) -> Result<(), StoreError> {
        self.check_listing().await;
        let prefix = ["web-01/", "web-01/d", "web-01/d/", "web-01/x", "w"].choose(chance).unwrap().as_bytes().to_vec();
        let query = ListQuery { prefix: prefix.clone(), delimiter: Some(b"/".to_vec()), after: None, max: 100 };
        let page = self.host.reader().list(query).await?;
        let mut expected: Vec<&str> = Vec::new();
        for name in self.model.objects.keys().filter(|name| name.as_bytes().starts_with(&prefix)) {
            let rest = &name[prefix.len()..];
            let entry = rest.find('/').map_or(name.as_str(), |at| &name[..=prefix.len() + at]);
            if expected.last() != Some(&entry) {
                expected.push(entry);
            }
        }
        let found: Vec<&str> = page
            .entries
            .iter()
            .map(|entry| match entry {
                kheeper_store::ListEntry::Object(object) => object.key.as_str(),
                kheeper_store::ListEntry::CommonPrefix(prefix) => prefix.as_str(),
            })
            .collect();
        assert_eq!(found, expected);
        Ok(())
    }
}

/// What a repeat of a write is answered: the same, but that it hid nothing more.
fn repeated(first: Written) -> Written {
    Written { hid_another: false, ..first }
}
