DROP INDEX entries_content;
DROP INDEX entries_past_content;
DROP INDEX blobs_region;
CREATE INDEX blobs_region ON blobs (tenant, region, id);
-- SQLite keeps a table's rows by a number of its own, and finds each by way of an index on the key. These are kept by
-- their keys: entries in the order of their folders and names, as they are listed.
CREATE TABLE contents_new (
    tenant BIGINT NOT NULL,
    id BLOB NOT NULL,
    size BIGINT NOT NULL,
    sha256 BLOB,
    uses BIGINT NOT NULL,
    md5 BLOB,
    sha1 BLOB,
    crc32 BLOB,
    sha512 BLOB,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
INSERT INTO contents_new (tenant, id, size, sha256, uses, md5, sha1, crc32, sha512)
SELECT tenant, id, size, sha256, uses, md5, sha1, crc32, sha512 FROM contents ORDER BY tenant, id;
DROP TABLE contents;
ALTER TABLE contents_new RENAME TO contents;
-- With the second column SQLite prefers it to the key, of which it takes the tenant for a choice as good.
CREATE INDEX contents_unhashed ON contents (tenant, sha256) WHERE sha256 IS NULL;

CREATE TABLE extents_new (
    tenant BIGINT NOT NULL,
    content BLOB NOT NULL,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    blob BLOB,
    blob_start BIGINT NOT NULL,
    PRIMARY KEY (tenant, content, start)
) WITHOUT ROWID;
INSERT INTO extents_new (tenant, content, start, length, blob, blob_start)
SELECT tenant, content, start, length, blob, blob_start FROM extents ORDER BY tenant, content, start;
DROP TABLE extents;
ALTER TABLE extents_new RENAME TO extents;

CREATE TABLE changes_new (
    tenant BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    id BLOB NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    account BIGINT,
    session BLOB,
    protocol TEXT NOT NULL,
    address TEXT,
    detail TEXT NOT NULL,
    audit_number BIGINT NOT NULL,
    audit_hash BLOB NOT NULL,
    PRIMARY KEY (tenant, seq),
    UNIQUE (tenant, id)
) WITHOUT ROWID;
INSERT INTO changes_new (tenant, seq, id, at, kind, account, session, protocol, address, detail, audit_number, audit_hash)
SELECT tenant, seq, id, at, kind, account, session, protocol, address, detail, audit_number, audit_hash
FROM changes ORDER BY tenant, seq;
DROP TABLE changes;
ALTER TABLE changes_new RENAME TO changes;
CREATE INDEX changes_at ON changes (tenant, at);
CREATE INDEX changes_audit ON changes (tenant, audit_number);

CREATE TABLE entries_new (
    tenant BIGINT NOT NULL,
    node BLOB NOT NULL,
    parent BLOB NOT NULL,
    name TEXT NOT NULL,
    kind BIGINT NOT NULL,
    content BLOB,
    size BIGINT NOT NULL,
    owner BIGINT,
    mode BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    accessed BIGINT NOT NULL,
    born BIGINT NOT NULL,
    created BIGINT,
    PRIMARY KEY (tenant, parent, name),
    UNIQUE (tenant, node)
) WITHOUT ROWID;
INSERT INTO entries_new (tenant, node, parent, name, kind, content, size, owner, mode, modified, accessed, born, created)
SELECT tenant, node, parent, name, kind, content, size, owner, mode, modified, accessed, born, created
FROM entries ORDER BY tenant, parent, name;
DROP TABLE entries;
ALTER TABLE entries_new RENAME TO entries;

CREATE TABLE entries_past_new (
    tenant BIGINT NOT NULL,
    node BLOB NOT NULL,
    parent BLOB NOT NULL,
    name TEXT NOT NULL,
    kind BIGINT NOT NULL,
    content BLOB,
    size BIGINT NOT NULL,
    owner BIGINT,
    mode BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    accessed BIGINT NOT NULL,
    born BIGINT NOT NULL,
    died BIGINT NOT NULL,
    created BIGINT,
    PRIMARY KEY (tenant, node, died)
) WITHOUT ROWID;
INSERT INTO entries_past_new (tenant, node, parent, name, kind, content, size, owner, mode, modified, accessed, born, died, created)
SELECT tenant, node, parent, name, kind, content, size, owner, mode, modified, accessed, born, died, created
FROM entries_past ORDER BY tenant, node, died;
DROP TABLE entries_past;
ALTER TABLE entries_past_new RENAME TO entries_past;
CREATE INDEX entries_past_name ON entries_past (tenant, parent, name, died, born);
CREATE INDEX entries_past_died ON entries_past (tenant, died);
