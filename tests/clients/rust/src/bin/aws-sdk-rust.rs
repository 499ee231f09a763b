//! One full cycle of the AWS SDK for Rust with its own defaults. It has no upload manager: parts are sent by hand.

use std::error::Error;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, MetadataDirective, ObjectIdentifier, ServerSideEncryption};
use kheeper_client_programs::{
    BIG_BYTES, Failure, Outcome, PART_BYTES, SMALL_BYTES, arguments, content, left, same, step, want,
};

struct Program {
    s3: Client,
    bucket: String,
    prefix: String,
}

#[tokio::main]
async fn main() {
    let arguments = arguments("aws-sdk-s3");
    let settings = aws_config::load_from_env().await;
    let s3 = Client::from_conf(aws_sdk_s3::config::Builder::from(&settings).force_path_style(true).build());
    let program = Program { s3, bucket: arguments.bucket, prefix: arguments.prefix };
    let Some(foreign) = arguments.foreign else {
        step("owner reads", program.remains().await);
        let written = program.put("stray", content(9, 10)).send().await;
        return step("owner is refused to write", has_status(written, 403));
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
    let encrypted = program.put("encrypted", content(1, 100)).server_side_encryption(ServerSideEncryption::AwsKms);
    step("what is never done is 501", has_status(encrypted.send().await, 501));
    step("what is left", program.remains().await);
}

impl Program {
    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    fn put(&self, name: &str, content: Vec<u8>) -> PutObjectFluentBuilder {
        self.s3.put_object().bucket(&self.bucket).key(self.key(name)).body(content.into())
    }

    async fn get(&self, name: &str, range: Option<&str>) -> Outcome<Vec<u8>> {
        let get = self.s3.get_object().bucket(&self.bucket).key(self.key(name));
        let got = get.set_range(range.map(str::to_owned)).send().await?;
        Ok(got.body.collect().await?.to_vec())
    }

    async fn holds(&self, name: &str, expected: &[u8]) -> Outcome {
        same(name, &self.get(name, None).await?, expected)
    }

    async fn small(&self) -> Outcome {
        let names = ["small", "with space/and+plus", "blåbær", "many/1", "many/2", "many/3"];
        for (seed, name) in names.into_iter().enumerate() {
            self.put(name, content(seed, SMALL_BYTES)).send().await?;
            self.holds(name, &content(seed, SMALL_BYTES)).await?;
        }
        self.put("empty", Vec::new()).send().await?;
        self.holds("empty", &[]).await
    }

    async fn parts(&self) -> Outcome {
        let whole = content(50, BIG_BYTES);
        let begin = self.s3.create_multipart_upload().bucket(&self.bucket).key(self.key("big"));
        let begun = begin.checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc32).send().await?;
        let id = begun.upload_id().unwrap_or_default();
        let mut parts = CompletedMultipartUpload::builder();
        for (number, part) in (1..).zip(whole.chunks(PART_BYTES)) {
            let send = self.s3.upload_part().bucket(&self.bucket).key(self.key("big")).upload_id(id);
            let sent = send.part_number(number).body(part.to_vec().into()).send().await?;
            let done = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
            parts = parts.parts(done.set_checksum_crc32(sent.checksum_crc32).build());
        }
        let complete = self.s3.complete_multipart_upload().bucket(&self.bucket).key(self.key("big")).upload_id(id);
        let done = complete.multipart_upload(parts.build()).send().await?;
        let etag = done.e_tag().unwrap_or_default();
        want(etag.contains("-3"), || format!("ETag {etag} is not one of three parts"))?;
        self.holds("big", &whole).await
    }

    /// From a file: the SDK reads it once, and sends its checksum behind it.
    async fn stream(&self) -> Outcome {
        let whole = content(60, PART_BYTES + SMALL_BYTES);
        let file = std::env::temp_dir().join(format!("aws-sdk-rust-{}", std::process::id()));
        tokio::fs::write(&file, &whole).await?;
        let body = ByteStream::from_path(&file).await;
        let sent = self.put("streamed", Vec::new()).body(body?).send().await;
        tokio::fs::remove_file(&file).await?;
        sent?;
        self.holds("streamed", &whole).await
    }

    async fn list(&self) -> Outcome {
        let list = self.s3.list_objects_v2().bucket(&self.bucket).prefix(self.key(""));
        let mut pages = list.clone().max_keys(2).into_paginator().send();
        let (mut keys, mut count) = (0, 0);
        while let Some(page) = pages.next().await {
            keys += page?.contents().len();
            count += 1;
        }
        want(keys == 9 && count == 5, || format!("{keys} keys on {count} pages"))?;
        let top = list.delimiter("/").send().await?;
        let folders = top.common_prefixes();
        want(folders.len() == 2 && top.contents().len() == 5, || format!("{folders:?}"))
    }

    async fn overwrite(&self) -> Outcome {
        self.put("small", content(70, 1234)).send().await?;
        self.holds("small", &content(70, 1234)).await
    }

    async fn conditions(&self) -> Outcome {
        let head = self.s3.head_object().bucket(&self.bucket).key(self.key("small")).send().await?;
        has_status(self.put("small", content(80, 100)).if_none_match("*").send().await, 412)?;
        self.put("once", content(81, 100)).if_none_match("*").send().await?;
        let other = "\"0123456789abcdef0123456789abcdef\"";
        has_status(self.put("small", content(82, 100)).if_match(other).send().await, 412)?;
        self.holds("small", &content(70, 1234)).await?;
        self.put("small", content(83, 100)).set_if_match(head.e_tag).send().await?;
        self.holds("small", &content(83, 100)).await
    }

    async fn ranges(&self) -> Outcome {
        let whole = content(50, BIG_BYTES);
        for (asked, expected) in [
            ("bytes=10-19", &whole[10..20]),
            ("bytes=5242000-5243000", &whole[5_242_000..=5_243_000]),
            ("bytes=-100", &whole[BIG_BYTES - 100..]),
        ] {
            same(asked, &self.get("big", Some(asked)).await?, expected)?;
        }
        let get = self.s3.get_object().bucket(&self.bucket).key(self.key("big"));
        has_status(get.range("bytes=99999999-").send().await, 416)
    }

    async fn metadata(&self) -> Outcome {
        let put = self.put("described", content(90, 500)).content_type("application/x-kept");
        put.metadata("origin", "web 01").metadata("count", "3").send().await?;
        self.described("described", "web 01").await
    }

    async fn described(&self, name: &str, origin: &str) -> Outcome {
        let head = self.s3.head_object().bucket(&self.bucket).key(self.key(name)).send().await?;
        let metadata = head.metadata().cloned().unwrap_or_default();
        let right = head.content_type() == Some("application/x-kept")
            && metadata.get("origin").is_some_and(|found| found == origin)
            && head.content_length() == Some(500);
        want(right, || format!("{head:?}"))
    }

    async fn copies(&self) -> Outcome {
        let source = format!("{}/{}", self.bucket, self.key("described"));
        let copy = self.s3.copy_object().bucket(&self.bucket).key(self.key("copied")).copy_source(source);
        copy.clone().send().await?;
        self.holds("copied", &content(90, 500)).await?;
        self.described("copied", "web 01").await?;
        let changed = copy.metadata_directive(MetadataDirective::Replace).content_type("application/x-kept");
        changed.metadata("origin", "elsewhere").send().await?;
        self.described("copied", "elsewhere").await
    }

    async fn delete_many(&self) -> Outcome {
        let mut doomed = Delete::builder();
        for name in ["many/1", "many/2", "many/3", "never there", "copied", "with space/and+plus"] {
            doomed = doomed.objects(ObjectIdentifier::builder().key(self.key(name)).build()?);
        }
        let done = self.s3.delete_objects().bucket(&self.bucket).delete(doomed.build()?).send().await?;
        want(done.deleted().len() == 6 && done.errors().is_empty(), || format!("{done:?}"))?;
        self.s3.delete_object().bucket(&self.bucket).key(self.key("once")).send().await?;
        Ok(())
    }

    async fn absent(&self) -> Outcome {
        let got = self.s3.get_object().bucket(&self.bucket).key(self.key("many/1")).send().await;
        let code = got.as_ref().err().and_then(|error| error.code()).map(str::to_owned);
        has_status(got, 404)?;
        want(code.as_deref() == Some("NoSuchKey"), || format!("GET: {code:?}"))?;
        has_status(self.s3.head_object().bucket(&self.bucket).key(self.key("many/1")).send().await, 404)
    }

    async fn foreign(&self, prefix: String) -> Outcome {
        let stranger = Self { s3: self.s3.clone(), bucket: self.bucket.clone(), prefix };
        has_status(stranger.s3.get_object().bucket(&self.bucket).key(stranger.key("small")).send().await, 403)?;
        has_status(stranger.put("small", content(1, 100)).send().await, 403)
    }

    /// What the cycle leaves, by listing and by content: also what its owner reads.
    async fn remains(&self) -> Outcome {
        let listed = self.s3.list_objects_v2().bucket(&self.bucket).prefix(self.key("")).send().await?;
        let (found, expected) = (listed.contents().len(), left());
        want(found == expected.len(), || format!("{found} objects are left"))?;
        for (name, content) in expected {
            self.holds(name, &content).await?;
        }
        Ok(())
    }
}

fn has_status<T, E: Error + Send + Sync + 'static>(result: Result<T, SdkError<E>>, status: u16) -> Outcome {
    match result {
        Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == status) => Ok(()),
        Err(error) => Err(Failure::from(error)),
        Ok(_) => Err(format!("expected status {status}, not success").into()),
    }
}
