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
-- The window of hosts that are made in the org; none is the server's.
ALTER TABLE org ADD COLUMN retention_secs INTEGER;
