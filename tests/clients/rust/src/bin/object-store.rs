//! One full cycle of the `object_store` crate with its own defaults.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kheeper_client_programs::{
    BIG_BYTES, Outcome, PART_BYTES, SMALL_BYTES, arguments, content, left, same, step, want,
};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    Attribute, AttributeValue, Attributes, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, UpdateVersion, WriteMultipart,
};

struct Program {
    store: AmazonS3,
    /// The same, asking for what is never done here.
    encrypting: AmazonS3,
    prefix: String,
}

#[tokio::main]
async fn main() {
    let arguments = arguments("object_store");
    let settings = AmazonS3Builder::from_env().with_bucket_name(arguments.bucket);
    let encrypting = settings.clone().with_sse_kms_encryption("some-key").build().expect("the settings are right");
    let store = settings.build().expect("the settings are right");
    let program = Program { store, encrypting, prefix: arguments.prefix };
    let Some(foreign) = arguments.foreign else {
        step("owner reads", program.remains().await);
        return step("owner is refused to write", refused(program.put("stray", content(9, 10)).await));
    };
    step("small objects", program.small().await);
    step("an object in parts", program.parts().await);
    step("a stream of unknown length", program.stream().await);
    step("listing by pages", program.list().await);
    step("overwriting", program.overwrite().await);
    step("conditional writes", program.conditions().await);
    step("partial reads", program.ranges().await);
    step("metadata", program.metadata().await);
    step("copies", program.copies().await);
    step("many deleted at once", program.delete_many().await);
    step("absent is 404", program.absent().await);
    step("another host is 403", program.foreign(foreign).await);
    step("what is never done is 501", program.unsupported().await);
    step("what is left", program.remains().await);
}

impl Program {
    fn key(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    async fn put(&self, name: &str, content: Vec<u8>) -> Result<(), Error> {
        self.store.put(&self.key(name), content.into()).await.map(drop)
    }

    async fn put_if(&self, name: &str, content: Vec<u8>, mode: PutMode) -> Result<(), Error> {
        let options = PutOptions { mode, ..PutOptions::default() };
        self.store.put_opts(&self.key(name), content.into(), options).await.map(drop)
    }

    async fn get(&self, name: &str) -> Result<Bytes, Error> {
        self.store.get(&self.key(name)).await?.bytes().await
    }

    async fn holds(&self, name: &str, expected: &[u8]) -> Outcome {
        same(name, &self.get(name).await?, expected)
    }

    async fn small(&self) -> Outcome {
        let names = ["small", "with space/and+plus", "blåbær", "many/1", "many/2", "many/3"];
        for (seed, name) in names.into_iter().enumerate() {
            self.put(name, content(seed, SMALL_BYTES)).await?;
            self.holds(name, &content(seed, SMALL_BYTES)).await?;
        }
        self.put("empty", Vec::new()).await?;
        self.holds("empty", &[]).await
    }

    async fn parts(&self) -> Outcome {
        let whole = content(50, BIG_BYTES);
        let mut upload = self.store.put_multipart(&self.key("big")).await?;
        for part in whole.chunks(PART_BYTES) {
            upload.put_part(PutPayload::from(part.to_vec())).await?;
        }
        let done = upload.complete().await?;
        let etag = done.e_tag.unwrap_or_default();
        want(etag.contains("-3"), || format!("ETag {etag} is not one of three parts"))?;
        // One that is given up leaves nothing.
        let mut given_up = self.store.put_multipart_opts(&self.key("given up"), PutMultipartOptions::default()).await?;
        given_up.put_part(PutPayload::from(content(51, PART_BYTES))).await?;
        given_up.abort().await?;
        self.holds("big", &whole).await
    }

    async fn stream(&self) -> Outcome {
        let whole = content(60, PART_BYTES + SMALL_BYTES);
        let mut writer = WriteMultipart::new(self.store.put_multipart(&self.key("streamed")).await?);
        for piece in whole.chunks(50_000) {
            writer.write(piece);
        }
        writer.finish().await?;
        self.holds("streamed", &whole).await
    }

    async fn list(&self) -> Outcome {
        let below = self.key("");
        let keys: Vec<_> = self.store.list(Some(&below)).try_collect().await?;
        want(keys.len() == 9, || format!("{keys:?}"))?;
        let after: Vec<_> = self.store.list_with_offset(Some(&below), &self.key("many/1")).try_collect().await?;
        want(after.len() == 5, || format!("after many/1: {after:?}"))?;
        let top = self.store.list_with_delimiter(Some(&below)).await?;
        want(top.common_prefixes.len() == 2 && top.objects.len() == 5, || format!("{top:?}"))
    }

    async fn overwrite(&self) -> Outcome {
        self.put("small", content(70, 1234)).await?;
        self.holds("small", &content(70, 1234)).await
    }

    async fn conditions(&self) -> Outcome {
        let head = self.store.head(&self.key("small")).await?;
        let created = self.put_if("small", content(80, 100), PutMode::Create).await;
        want(matches!(created, Err(Error::AlreadyExists { .. })), || format!("{created:?}"))?;
        self.put_if("once", content(81, 100), PutMode::Create).await?;
        let other = UpdateVersion { e_tag: Some("\"0123456789abcdef0123456789abcdef\"".into()), version: None };
        let updated = self.put_if("small", content(82, 100), PutMode::Update(other)).await;
        want(matches!(updated, Err(Error::Precondition { .. })), || format!("{updated:?}"))?;
        self.holds("small", &content(70, 1234)).await?;
        let same = UpdateVersion { e_tag: head.e_tag, version: None };
        self.put_if("small", content(83, 100), PutMode::Update(same)).await?;
        self.holds("small", &content(83, 100)).await
    }

    async fn ranges(&self) -> Outcome {
        let (whole, big) = (content(50, BIG_BYTES), self.key("big"));
        same("bytes=10-19", &self.store.get_range(&big, 10..20).await?, &whole[10..20])?;
        let two = self.store.get_ranges(&big, &[0..5, 5_242_000..5_243_001]).await?;
        same("bytes=5242000-5243000", &two[1], &whole[5_242_000..=5_243_000])?;
        let last = GetOptions { range: Some(GetRange::Suffix(100)), ..GetOptions::default() };
        let last = self.store.get_opts(&big, last).await?.bytes().await?;
        same("bytes=-100", &last, &whole[BIG_BYTES - 100..])
    }

    async fn metadata(&self) -> Outcome {
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, "application/x-kept".into());
        attributes.insert(Attribute::Metadata("origin".into()), "web 01".into());
        let options = PutOptions { attributes, ..PutOptions::default() };
        self.store.put_opts(&self.key("described"), content(90, 500).into(), options).await?;
        self.described("described").await
    }

    async fn described(&self, name: &str) -> Outcome {
        let got = self.store.get(&self.key(name)).await?;
        let of = |attribute: Attribute| got.attributes.get(&attribute).map(AttributeValue::as_ref);
        let right = of(Attribute::ContentType) == Some("application/x-kept")
            && of(Attribute::Metadata("origin".into())) == Some("web 01");
        want(right, || format!("{:?}", got.attributes))
    }

    async fn copies(&self) -> Outcome {
        self.store.copy(&self.key("described"), &self.key("copied")).await?;
        self.holds("copied", &content(90, 500)).await?;
        self.described("copied").await
    }

    async fn delete_many(&self) -> Outcome {
        let names = ["many/1", "many/2", "many/3", "never there", "copied", "with space/and+plus"];
        let doomed = stream::iter(names.map(|name| Ok(self.key(name)))).boxed();
        let deleted: Vec<_> = self.store.delete_stream(doomed).try_collect().await?;
        want(deleted.len() == 6, || format!("{deleted:?}"))?;
        Ok(self.store.delete(&self.key("once")).await?)
    }

    async fn absent(&self) -> Outcome {
        let got = self.get("many/1").await;
        want(matches!(got, Err(Error::NotFound { .. })), || format!("GET: {got:?}"))?;
        let head = self.store.head(&self.key("many/1")).await;
        want(matches!(head, Err(Error::NotFound { .. })), || format!("HEAD: {head:?}"))
    }

    async fn foreign(&self, prefix: String) -> Outcome {
        let stranger = Self { store: self.store.clone(), encrypting: self.encrypting.clone(), prefix };
        refused(stranger.get("small").await)?;
        refused(stranger.put("small", content(1, 100)).await)
    }

    async fn unsupported(&self) -> Outcome {
        let sent = self.encrypting.put(&self.key("encrypted"), content(1, 100).into()).await;
        want(sent.as_ref().is_err_and(|error| error.to_string().contains("501")), || format!("{sent:?}"))
    }

    /// What the cycle leaves, by listing and by content: also what its owner reads.
    async fn remains(&self) -> Outcome {
        let listed: Vec<_> = self.store.list(Some(&self.key(""))).try_collect().await?;
        let expected = left();
        want(listed.len() == expected.len(), || format!("{listed:?}"))?;
        for (name, content) in expected {
            self.holds(name, &content).await?;
        }
        Ok(())
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Outcome {
    want(matches!(result, Err(Error::PermissionDenied { .. })), || format!("expected a refusal, not {result:?}"))
}
