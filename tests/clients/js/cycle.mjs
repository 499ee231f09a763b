// One full cycle of the AWS SDK for JavaScript v3, with lib-storage and the SDK's own defaults.
import { createRequire } from "node:module";
import { Readable } from "node:stream";

import {
  CopyObjectCommand, DeleteObjectCommand, DeleteObjectsCommand, GetObjectCommand, HeadObjectCommand,
  ListObjectsV2Command, paginateListObjectsV2, PutObjectCommand, S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";

const PART_BYTES = 5 << 20;
const BIG_BYTES = 2 * PART_BYTES + 12345;
const SMALL_BYTES = 70_000;

const [verb, Bucket, prefix, foreign] = process.argv.slice(2);
if (verb === "version") {
  console.log(createRequire(import.meta.url)("@aws-sdk/client-s3/package.json").version);
  process.exit(0);
}
if (!((verb === "cycle" && foreign) || (verb === "read" && prefix))) {
  console.error("usage: version | cycle BUCKET PREFIX FOREIGN-PREFIX | read BUCKET PREFIX");
  process.exit(2);
}

const s3 = new S3Client({ forcePathStyle: true });

/** What every program, in every language, stores as `seed`. */
function content(seed, length) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + (i >> 16) * 13 + seed) & 0xff;
  return bytes;
}

function want(condition, message) {
  if (!condition) throw new Error(message);
}

async function hasStatus(promise, status) {
  const error = await promise.then(() => undefined, (error) => error);
  want(error?.$metadata?.httpStatusCode === status, `expected status ${status}, not ${error}`);
  return error;
}

const at = (name) => ({ Bucket, Key: `${prefix}/${name}` });
const put = (name, Body, more = {}) => s3.send(new PutObjectCommand({ ...at(name), Body, ...more }));
const head = (name) => s3.send(new HeadObjectCommand(at(name)));

async function get(name, more = {}) {
  const got = await s3.send(new GetObjectCommand({ ...at(name), ...more }));
  return Buffer.from(await got.Body.transformToByteArray());
}

function same(what, got, expected) {
  want(got.equals(expected), `${what}: ${got.length} bytes came back, and not the ${expected.length} that were stored`);
}

async function holds(name, expected) {
  same(name, await get(name), expected);
}

async function described(name, origin) {
  const { ContentType, Metadata, ContentLength } = await head(name);
  want(ContentType === "application/x-kept", `content type ${ContentType}`);
  want(Metadata.origin === origin, `metadata ${JSON.stringify(Metadata)}`);
  want(ContentLength === 500, `length ${ContentLength}`);
}

/** What the cycle leaves, by listing and by content: also what its owner reads. */
async function remains() {
  const left = {
    big: content(50, BIG_BYTES), streamed: content(60, PART_BYTES + SMALL_BYTES), small: content(83, 100),
    described: content(90, 500), "blåbær": content(2, SMALL_BYTES), empty: Buffer.alloc(0),
  };
  const listed = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: `${prefix}/` }));
  want(listed.KeyCount === Object.keys(left).length, `${listed.KeyCount} objects are left`);
  for (const [name, expected] of Object.entries(left)) await holds(name, expected);
}

const cycle = {
  "small objects": async () => {
    for (const [seed, name] of ["small", "with space/and+plus", "blåbær", "many/1", "many/2", "many/3"].entries()) {
      await put(name, content(seed, SMALL_BYTES));
      await holds(name, content(seed, SMALL_BYTES));
    }
    await put("empty", Buffer.alloc(0));
    await holds("empty", Buffer.alloc(0));
  },
  "an object in parts": async () => {
    const params = { ...at("big"), Body: content(50, BIG_BYTES) };
    const sent = await new Upload({ client: s3, partSize: PART_BYTES, params }).done();
    want(/-3"?$/.test(sent.ETag), `ETag ${sent.ETag} is not one of three parts`);
    await holds("big", content(50, BIG_BYTES));
  },
  "a stream of unknown length": async () => {
    const expected = content(60, PART_BYTES + SMALL_BYTES);
    const pieces = function* () {
      for (let i = 0; i < expected.length; i += 50_000) yield expected.subarray(i, i + 50_000);
    };
    await new Upload({ client: s3, params: { ...at("streamed"), Body: Readable.from(pieces()) } }).done();
    await holds("streamed", expected);
  },
  "listing by pages": async () => {
    const keys = [];
    let pages = 0;
    for await (const page of paginateListObjectsV2({ client: s3, pageSize: 2 }, { Bucket, Prefix: `${prefix}/` })) {
      keys.push(...page.Contents.map((object) => object.Key));
      pages += 1;
    }
    want(keys.length === 9 && pages === 5, `${keys.length} keys on ${pages} pages: ${keys}`);
    const top = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: `${prefix}/`, Delimiter: "/" }));
    want(top.CommonPrefixes.length === 2 && top.Contents.length === 5, JSON.stringify(top.CommonPrefixes));
  },
  overwriting: async () => {
    await put("small", content(70, 1234));
    await holds("small", content(70, 1234));
  },
  "conditional writes": async () => {
    const { ETag } = await head("small");
    await hasStatus(put("small", content(80, 100), { IfNoneMatch: "*" }), 412);
    await put("once", content(81, 100), { IfNoneMatch: "*" });
    await hasStatus(put("small", content(82, 100), { IfMatch: '"0123456789abcdef0123456789abcdef"' }), 412);
    await holds("small", content(70, 1234));
    await put("small", content(83, 100), { IfMatch: ETag });
    await holds("small", content(83, 100));
  },
  "partial reads": async () => {
    const whole = content(50, BIG_BYTES);
    const expected = {
      "bytes=10-19": whole.subarray(10, 20), "bytes=5242000-5243000": whole.subarray(5242000, 5243001),
      "bytes=-100": whole.subarray(BIG_BYTES - 100),
    };
    for (const [Range, part] of Object.entries(expected)) same(Range, await get("big", { Range }), part);
    await hasStatus(get("big", { Range: "bytes=99999999-" }), 416);
  },
  metadata: async () => {
    const more = { ContentType: "application/x-kept", Metadata: { origin: "web 01", count: "3" } };
    await put("described", content(90, 500), more);
    await described("described", "web 01");
  },
  copies: async () => {
    const source = { ...at("copied"), CopySource: `${Bucket}/${prefix}/described` };
    await s3.send(new CopyObjectCommand(source));
    await holds("copied", content(90, 500));
    await described("copied", "web 01");
    const changed = {
      MetadataDirective: "REPLACE", ContentType: "application/x-kept", Metadata: { origin: "elsewhere" },
    };
    await s3.send(new CopyObjectCommand({ ...source, ...changed }));
    await described("copied", "elsewhere");
  },
  "many deleted at once": async () => {
    const names = ["many/1", "many/2", "many/3", "never there", "copied", "with space/and+plus"];
    const Delete = { Objects: names.map((name) => ({ Key: at(name).Key })) };
    const done = await s3.send(new DeleteObjectsCommand({ Bucket, Delete }));
    want(done.Deleted.length === 6 && !done.Errors?.length, JSON.stringify(done));
    await s3.send(new DeleteObjectCommand(at("once")));
  },
  "absent is 404": async () => {
    want((await hasStatus(get("many/1"), 404)).name === "NoSuchKey", "GET names no NoSuchKey");
    want((await hasStatus(head("many/1"), 404)).name === "NotFound", "HEAD names no NotFound");
  },
  "another host is 403": async () => {
    const Key = `${foreign}/small`;
    await hasStatus(s3.send(new GetObjectCommand({ Bucket, Key })), 403);
    await hasStatus(s3.send(new PutObjectCommand({ Bucket, Key, Body: content(1, 100) })), 403);
  },
  "what is never done is 501": () =>
    hasStatus(put("encrypted", content(1, 100), { ServerSideEncryption: "aws:kms" }), 501),
  "what is left": remains,
};

const read = {
  "owner reads": remains,
  "owner is refused to write": () => hasStatus(put("stray", content(9, 10)), 403),
};

for (const [name, step] of Object.entries(verb === "cycle" ? cycle : read)) {
  try {
    await step();
  } catch (error) {
    console.log(`FAILED ${name}: ${error.stack ?? error}`);
    process.exit(1);
  }
  console.log("did", name);
}
