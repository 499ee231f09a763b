-- What format 2 adds to format 1. Not released yet: until it is, further tables and columns are added here.

-- The digests of the parts of an upload that named a checksum algorithm, one after the other in the order of the
-- manifest: what GetObjectAttributes says of parts. Both are null for every other content.
ALTER TABLE content ADD COLUMN part_checksum TEXT;
ALTER TABLE content ADD COLUMN part_digests BLOB;

-- Grants: one host may read what is current of another's namespace until ends_at. By ids, so that the next host of the
-- same name gets nothing. A grant that was deleted has ended at that moment; rows go some time after the end.
CREATE TABLE read_grant (
    grant_id     TEXT PRIMARY KEY,
    org_no       INTEGER NOT NULL REFERENCES org,
    namespace_no INTEGER NOT NULL REFERENCES namespace,
    grantee      TEXT NOT NULL REFERENCES host,
    created_by   TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    ends_at      INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX read_grant_by_grantee ON read_grant (grantee, ends_at);
CREATE INDEX read_grant_by_namespace ON read_grant (namespace_no, ends_at);
CREATE INDEX read_grant_by_org ON read_grant (org_no, ends_at);

-- Time. When the bytes of a restored version were first committed: its Last-Modified. None where that is committed_at.
ALTER TABLE object ADD COLUMN modified_at INTEGER;
ALTER TABLE version ADD COLUMN modified_at INTEGER;
-- The latest hidden_at of the versions that were purged: as of a later time, nothing is missing.
ALTER TABLE namespace ADD COLUMN history_since INTEGER;
-- Whether what was written first stays.
ALTER TABLE namespace ADD COLUMN no_overwrite INTEGER NOT NULL DEFAULT 0;
-- The window of the org's hosts of which none was set; none is the server's.
ALTER TABLE org ADD COLUMN retention_secs INTEGER;
-- Whether the window was set for the host itself, so that its org's does not count.
ALTER TABLE namespace ADD COLUMN own_retention INTEGER NOT NULL DEFAULT 0;

-- The audit log: a chain for each org, and the server's own as org_no 0. hash is SHA-256 over the hash before it and the
-- text of the record. audit_head says where each chain begins and ends, so that a missing end is noticed too.
CREATE TABLE audit_record (
    org_no INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (org_no, seq)
) WITHOUT ROWID;
CREATE TABLE audit_head (
    org_no     INTEGER PRIMARY KEY,
    first_seq  INTEGER NOT NULL,
    first_prev BLOB NOT NULL,
    seq        INTEGER NOT NULL,
    hash       BLOB NOT NULL
);

-- Scrub: how far its round has come, what it found, and when the last one ended. One row, as JSON.
CREATE TABLE scrub (
    scrub_no INTEGER PRIMARY KEY CHECK (scrub_no = 1),
    state    TEXT NOT NULL
);

-- Who sees how an org is doing, and none of its objects. Apart from owner, so that nothing takes one for the other.
CREATE TABLE auditor (
    org_no  INTEGER NOT NULL REFERENCES org,
    user_id TEXT NOT NULL REFERENCES user,
    PRIMARY KEY (org_no, user_id)
) WITHOUT ROWID;
CREATE INDEX auditor_by_user ON auditor (user_id);

-- From when on a key is refused because another has taken its place; none is never.
ALTER TABLE identity_key ADD COLUMN ends_at INTEGER;
