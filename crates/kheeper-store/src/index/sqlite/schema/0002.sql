-- What format 2 adds to format 1. Not released yet: until it is, further tables and columns are added here.

-- The digests of the parts of an upload that named a checksum algorithm, one after the other in the order of the
-- manifest: what GetObjectAttributes says of parts. Both are null for every other content.
ALTER TABLE content ADD COLUMN part_checksum TEXT;
ALTER TABLE content ADD COLUMN part_digests BLOB;
