//! Every bound of the system, in one place. Units are in the names.

/// Bytes of an object key, `host/` included (S3's limit for a key).
pub const KEY_BYTES_MAX: usize = 1024;
/// Bytes of an org's name.
pub const ORG_NAME_BYTES_MIN: usize = 3;
/// Bytes of a host's name.
pub const HOST_NAME_BYTES_MIN: usize = 1;
/// Bytes of an org's, host's or user's name.
pub const NAME_BYTES_MAX: usize = 63;
/// Bytes of one object written by one PUT (S3's limit).
pub const PUT_BYTES_MAX: u64 = 5 * GIB;
/// Bytes of one object written as a multipart upload (S3's limit: 5 TiB).
pub const OBJECT_BYTES_MAX: u64 = 5 * 1024 * GIB;
/// Bytes of one part (S3's limit).
pub const PART_BYTES_MAX: u64 = 5 * GIB;
/// Bytes of every part but the last (S3's limit).
pub const PART_BYTES_MIN: u64 = 5 * MIB;
/// The highest part number (S3's limit).
pub const PART_NUMBER_MAX: u32 = 10_000;
/// Entries of one page of any S3 listing.
pub const LIST_PAGE_MAX: usize = 1000;
/// Keys of one DeleteObjects request.
pub const DELETE_KEYS_MAX: usize = 1000;
/// Bytes of an XML request body.
pub const XML_BODY_BYTES_MAX: usize = 2 * MIB as usize;
/// Bytes of user metadata (`x-amz-meta-*` names and values, S3's limit).
pub const USER_METADATA_BYTES_MAX: usize = 2048;
/// Bytes of all stored headers of an object together.
pub const OBJECT_HEADERS_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a request's header section.
pub const HEADER_SECTION_BYTES_MAX: usize = 64 * 1024;
/// Headers of one request.
pub const HEADER_COUNT_MAX: usize = 128;
/// Bytes of a header section that are read at all, so that whoever sends a little too much is told so in S3's own words.
/// What is longer gets 431 without any.
pub const HEADER_SECTION_BYTES_READ_MAX: usize = 2 * HEADER_SECTION_BYTES_MAX;
/// Headers of one request that are read at all.
pub const HEADER_COUNT_READ_MAX: usize = 2 * HEADER_COUNT_MAX;
/// Bytes of a token before it is decoded at all.
pub const TOKEN_BYTES_MAX: usize = 2048;
/// Seconds between a token's `iat` and `exp`, at most.
pub const TOKEN_TTL_SECS_MAX: u64 = 3600;
/// Seconds by which two clocks may disagree.
pub const CLOCK_SKEW_SECS_MAX: u64 = 300;
/// Seconds a join token is valid for.
pub const JOIN_TOKEN_TTL_SECS: u64 = 24 * 3600;
/// Seconds a registration token is valid for.
pub const REGISTRATION_TOKEN_TTL_SECS: u64 = 15 * 60;
/// Seconds that a grant lasts, at most: thirty days.
pub const GRANT_SECS_MAX: u64 = 30 * 24 * 3600;
/// Grants that one host may hold at a time.
pub const GRANTS_PER_HOST_MAX: u64 = 16;
/// Grants of one org at a time.
pub const GRANTS_PER_ORG_MAX: u64 = 256;
/// Seconds that a grant which has ended is remembered, so that whoever used it is told what happened.
pub const GRANT_ENDED_SECS: u64 = 24 * 3600;
/// A grant that ends within so many seconds is warned of.
pub const GRANT_WARN_SECS: u64 = 3600;
/// Keys of one host that are not revoked.
pub const KEYS_PER_HOST_MAX: u64 = 4;
/// Seconds for which a key that another has replaced may still be used, at most: a day.
pub const KEY_OVERLAP_SECS_MAX: u64 = 24 * 3600;
/// Owners and auditors of one org together.
pub const MEMBERS_PER_ORG_MAX: u64 = 100;
/// Seconds a record of the audit log is kept: four hundred days.
pub const AUDIT_SECS_KEPT: u64 = 400 * 24 * 3600;
/// Records of one audit log beyond which the oldest go earlier, though not before [`AUDIT_SECS_MIN`].
pub const AUDIT_RECORDS_MAX: u64 = 1_000_000;
/// Seconds a record of the audit log is kept, whatever else fills it: thirty days.
pub const AUDIT_SECS_MIN: u64 = 30 * 24 * 3600;
/// Keys of a delete that its audit record names.
pub const AUDIT_KEYS_MAX: usize = 5;
/// Characters of each text in an audit record.
pub const AUDIT_TEXT_CHARS_MAX: usize = 256;
/// Records of one page of the audit log.
pub const AUDIT_PAGE_MAX: usize = 1000;
/// Bytes of an object that is kept in the index beside its row instead of in a file.
pub const INLINE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a body that the proxy buffers whole, so that it can replay it.
pub const REPLAY_BYTES_MAX: usize = 64 * 1024;
/// Bytes that either program reads and throws away after an early refusal, so that the refusal arrives.
pub const DISCARD_BYTES_MAX: u64 = 16 * MIB;
/// Requests that a server has under way at once, unless its operator says otherwise.
pub const REQUESTS_MAX_DEFAULT: u32 = 512;
/// Seconds that either program goes on discarding after an early refusal.
pub const DISCARD_SECS_MAX: u64 = 5;
/// Seconds an overwritten or deleted version is kept, unless the namespace says otherwise: seven days.
pub const RETENTION_SECS_DEFAULT: u64 = 7 * 24 * 3600;
/// Seconds that a time must be past before anyone reads as of it: until then a commit of that time may still come.
pub const AS_OF_SECS_MIN: u64 = 60;
/// Keys that one page of a listing of the past looks at: a page may end short of its entries, and says where to go on.
pub const PAST_KEYS_PER_PAGE_MAX: usize = 10_000;
/// Versions of one key that may be committed within an hour: one a second. Each is kept for the window.
pub const VERSIONS_PER_KEY_HOUR_MAX: usize = 3600;
/// Keys that one commit of a restore changes, so that it never holds others up for long.
pub const RESTORE_KEYS_PER_COMMIT: usize = 200;
/// Seconds a completed upload's row is kept, so that a repeated Complete gets the same answer.
pub const COMPLETED_UPLOAD_SECS: u64 = 24 * 3600;
/// Uploads of one namespace that are not complete, at most: each stays for a week when it is abandoned.
pub const OPEN_UPLOADS_MAX: usize = 10_000;
/// Seconds an upload may be without activity before it is reclaimed: seven days.
pub const UPLOAD_IDLE_SECS_MAX: u64 = 7 * 24 * 3600;
/// Seconds between condemning a content and deleting its blobs, at the least.
pub const CONDEMNED_SECS_MIN: u64 = 24 * 3600;
/// Seconds from the beginning of an object's or a part's body to its commit, at the most: 36 hours. Sweep condemns a blob a day
/// after it was last written to, at the earliest, and has forgotten it after [`CONDEMNED_SECS_MIN`] more.
pub const WRITE_SECS_MAX: u64 = CONDEMNED_SECS_MIN + CONDEMNED_SECS_MIN / 2;
/// An unconditional PUT that began this many seconds before the current version began is committed already hidden.
pub const STALLED_PUT_SECS: u64 = 10;
/// Bytes of one JSON body of the control API.
pub const CONTROL_BODY_BYTES_MAX: usize = 64 * 1024;

/// 2²⁰.
pub const MIB: u64 = 1 << 20;
/// 2³⁰.
pub const GIB: u64 = 1 << 30;
