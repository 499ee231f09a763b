-- The index's tables, format 1. Times are milliseconds since 1970 unless a name says otherwise. Keys are bytes, in the
-- order of S3. Numbers that end in _no are this file's own; ids are for ever and everywhere.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- Who there is.

CREATE TABLE user (
    user_id    TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    disabled   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE org (
    org_no     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
);

CREATE TABLE owner (
    org_no  INTEGER NOT NULL REFERENCES org,
    user_id TEXT NOT NULL REFERENCES user,
    PRIMARY KEY (org_no, user_id)
) WITHOUT ROWID;
CREATE INDEX owner_by_user ON owner (user_id);

-- A namespace, with its ledger: stored bytes and objects as of folded_secs. Deltas since then are in usage_delta.
CREATE TABLE namespace (
    namespace_no    INTEGER PRIMARY KEY,
    namespace_id    TEXT NOT NULL UNIQUE,
    org_no          INTEGER NOT NULL REFERENCES org,
    host            TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    deleted_at      INTEGER,
    purge_after     INTEGER,
    released_at     INTEGER,
    quota_bytes     INTEGER,
    last_object_at  INTEGER,
    objects         INTEGER NOT NULL DEFAULT 0,
    current_bytes   INTEGER NOT NULL DEFAULT 0,
    hidden_bytes    INTEGER NOT NULL DEFAULT 0,
    uploading_bytes INTEGER NOT NULL DEFAULT 0,
    folded_secs     INTEGER NOT NULL
);
CREATE UNIQUE INDEX namespace_by_name ON namespace (org_no, host) WHERE released_at IS NULL;

CREATE TABLE host (
    host_id      TEXT PRIMARY KEY,
    namespace_no INTEGER NOT NULL UNIQUE REFERENCES namespace,
    joined       INTEGER NOT NULL DEFAULT 0,
    disabled     INTEGER NOT NULL DEFAULT 0,
    read_only    INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL
) WITHOUT ROWID;

-- state: 0 pending, 1 active, 2 revoked. A revoked key's row stays for ever.
CREATE TABLE identity_key (
    key_id     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    public_key BLOB NOT NULL,
    state      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (key_id, subject)
) WITHOUT ROWID;
CREATE INDEX identity_key_by_subject ON identity_key (subject);

CREATE TABLE join_token (
    secret_sha256 BLOB PRIMARY KEY,
    host_id       TEXT NOT NULL REFERENCES host,
    expires_at    INTEGER NOT NULL,
    used_by       TEXT
) WITHOUT ROWID;
CREATE INDEX join_token_by_host ON join_token (host_id);

CREATE TABLE registration (
    jti        TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

-- The windows that were set for a namespace, and until when each was the one set.
CREATE TABLE retention (
    namespace_no INTEGER NOT NULL REFERENCES namespace,
    set_at       INTEGER NOT NULL,
    secs         INTEGER NOT NULL,
    replaced_at  INTEGER,
    PRIMARY KEY (namespace_no, set_at)
) WITHOUT ROWID;

-- What there is.

-- Immutable bytes. refs counts versions, and an upload that is not complete. Condemned never becomes live again.
CREATE TABLE content (
    content_id   BLOB PRIMARY KEY,
    condemned_at INTEGER,
    refs         INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    crc64nvme    INTEGER NOT NULL,
    small_no     INTEGER,
    manifest     BLOB
) WITHOUT ROWID;
CREATE INDEX content_condemned ON content (condemned_at) WHERE condemned_at IS NOT NULL;

-- The bytes of contents that are small enough to be here.
CREATE TABLE small (
    small_no INTEGER PRIMARY KEY,
    bytes    BLOB NOT NULL
);

-- What GET, HEAD and LIST of now read: one row for each key that has a current version.
CREATE TABLE object (
    org_no       INTEGER NOT NULL,
    key          BLOB NOT NULL,
    bytes        INTEGER NOT NULL,
    etag         TEXT NOT NULL,
    committed_at INTEGER NOT NULL,
    namespace_no INTEGER NOT NULL,
    content_id   BLOB NOT NULL,
    began_at     INTEGER NOT NULL,
    part_count   INTEGER,
    checksum     TEXT,
    headers      TEXT NOT NULL,
    PRIMARY KEY (org_no, key)
) WITHOUT ROWID;

-- The history, the current version included: as of T is committed_at <= T < hidden_at.
CREATE TABLE version (
    org_no       INTEGER NOT NULL,
    key          BLOB NOT NULL,
    committed_at INTEGER NOT NULL,
    hidden_at    INTEGER,
    hidden_by    BLOB,
    purge_after  INTEGER,
    namespace_no INTEGER NOT NULL,
    attempt      BLOB NOT NULL,
    content_id   BLOB NOT NULL,
    bytes        INTEGER NOT NULL,
    etag         TEXT NOT NULL,
    began_at     INTEGER NOT NULL,
    part_count   INTEGER,
    checksum     TEXT,
    headers      TEXT NOT NULL,
    PRIMARY KEY (org_no, key, committed_at)
) WITHOUT ROWID;
CREATE INDEX version_due ON version (purge_after) WHERE purge_after IS NOT NULL;

-- Uploads: open ones, and for a day those that are complete, with their result.
CREATE TABLE upload (
    content_id         BLOB PRIMARY KEY,
    namespace_no       INTEGER NOT NULL,
    key                BLOB NOT NULL,
    created_at         INTEGER NOT NULL,
    active_at          INTEGER NOT NULL,
    checksum_algorithm TEXT,
    checksum_kind      TEXT,
    headers            TEXT NOT NULL,
    completed_at       INTEGER,
    parts_fingerprint  BLOB,
    result             TEXT
) WITHOUT ROWID;
CREATE INDEX upload_open ON upload (namespace_no, key, content_id) WHERE completed_at IS NULL;
CREATE INDEX upload_idle ON upload (active_at);

CREATE TABLE part (
    content_id   BLOB NOT NULL,
    number       INTEGER NOT NULL,
    suffix       BLOB NOT NULL,
    bytes        INTEGER NOT NULL,
    crc64nvme    INTEGER NOT NULL,
    md5          BLOB NOT NULL,
    committed_at INTEGER NOT NULL,
    checksum     TEXT,
    PRIMARY KEY (content_id, number)
) WITHOUT ROWID;

-- Blobs that no content will ever name again: replaced and unlisted parts, and what crashes left behind.
CREATE TABLE condemned_blob (
    content_id   BLOB NOT NULL,
    part         INTEGER NOT NULL,
    suffix       BLOB NOT NULL,
    condemned_at INTEGER NOT NULL,
    PRIMARY KEY (content_id, part, suffix)
) WITHOUT ROWID;

-- Client writes of the last day, with what they were answered.
CREATE TABLE attempt (
    namespace_no INTEGER NOT NULL,
    attempt      BLOB NOT NULL,
    fingerprint  BLOB NOT NULL,
    at           INTEGER NOT NULL,
    result       TEXT NOT NULL,
    PRIMARY KEY (namespace_no, attempt)
) WITHOUT ROWID;
CREATE INDEX attempt_by_age ON attempt (at);

-- Current base backups, so that the newest is known without a search.
CREATE TABLE base_backup (
    namespace_no INTEGER NOT NULL,
    key          BLOB NOT NULL,
    committed_at INTEGER NOT NULL,
    PRIMARY KEY (namespace_no, key)
) WITHOUT ROWID;

-- What it costs.

CREATE TABLE usage_delta (
    delta_no        INTEGER PRIMARY KEY,
    namespace_no    INTEGER NOT NULL,
    at_secs         INTEGER NOT NULL,
    objects         INTEGER NOT NULL,
    current_bytes   INTEGER NOT NULL,
    hidden_bytes    INTEGER NOT NULL,
    uploading_bytes INTEGER NOT NULL
);

CREATE INDEX usage_delta_by_namespace ON usage_delta (namespace_no);

CREATE TABLE usage_hour (
    namespace_no    INTEGER NOT NULL,
    hour            INTEGER NOT NULL,
    byte_seconds    INTEGER NOT NULL DEFAULT 0,
    ingress_bytes   INTEGER NOT NULL DEFAULT 0,
    egress_bytes    INTEGER NOT NULL DEFAULT 0,
    write_requests  INTEGER NOT NULL DEFAULT 0,
    read_requests   INTEGER NOT NULL DEFAULT 0,
    list_requests   INTEGER NOT NULL DEFAULT 0,
    delete_requests INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (namespace_no, hour)
) WITHOUT ROWID;

CREATE TABLE lease (
    name       TEXT PRIMARY KEY,
    holder     BLOB NOT NULL,
    epoch      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
