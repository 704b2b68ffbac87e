-- Links, by which people come who have no account; what is asked for twice; and whose an upload is.

-- kind: 1 to a file or folder, for reading; 2 into a folder, for sending files that cannot be seen there.
-- account: who made it, and for whom those who come by it act. hash: of the secret in its address.
-- password: as that of an account. revoked_at: then it ended. used_at, uses, bytes: the last download or
-- file, how many, and of how many bytes the files were. max_uses, max_bytes, max_size, patterns: what it
-- is held to; null is to nothing. patterns: one a line.
CREATE TABLE links (
    tenant BIGINT NOT NULL,
    id BYTES NOT NULL,
    account BIGINT NOT NULL,
    hash BYTES NOT NULL,
    kind BIGINT NOT NULL,
    node BYTES NOT NULL,
    name TEXT NOT NULL,
    password TEXT,
    made_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    used_at BIGINT,
    uses BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    max_uses BIGINT,
    max_bytes BIGINT,
    max_size BIGINT,
    patterns TEXT,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX links_hash ON links (tenant, hash);
CREATE INDEX links_account ON links (tenant, account, id);

-- Downloads that were counted, of one version of a file from one address, so that what goes on with one is
-- not counted again. under_way: 1 while its first byte is being sent. sent_first: bytes sent from the first
-- on. sent_later: bytes of parts that begin later.
CREATE TABLE link_downloads (
    tenant BIGINT NOT NULL,
    id BYTES NOT NULL,
    link BYTES NOT NULL,
    client TEXT NOT NULL,
    node BYTES NOT NULL,
    born BIGINT NOT NULL,
    size BIGINT NOT NULL,
    under_way BIGINT NOT NULL,
    sent_first BIGINT NOT NULL,
    sent_later BIGINT NOT NULL,
    touched_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX link_downloads_link ON link_downloads (tenant, link, client, node);
CREATE INDEX link_downloads_touched ON link_downloads (tenant, touched_at);

-- link: by which it came; null for the account's own. sender: what who sends it calls themselves.
ALTER TABLE addressed_uploads ADD COLUMN link BYTES;
ALTER TABLE addressed_uploads ADD COLUMN sender TEXT;
CREATE INDEX addressed_uploads_link ON addressed_uploads (tenant, link) WHERE link IS NOT NULL;
CREATE INDEX addressed_uploads_joined ON addressed_uploads (tenant, account) WHERE kind = 3;

-- Requests that carry a key, so that the same one is not carried out twice. key, fingerprint: hashes of
-- the key and of the request. attempt: whose it is to carry it out; only that one may. executed: 1 as soon
-- as something of it is committed, written with it. leased_until: when another may try, if nothing is.
-- answer: sealed; null while there is none.
CREATE TABLE idempotency_keys (
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    key BYTES NOT NULL,
    fingerprint BYTES NOT NULL,
    attempt BYTES NOT NULL,
    executed BIGINT NOT NULL,
    began_at BIGINT NOT NULL,
    leased_until BIGINT NOT NULL,
    answer BYTES,
    PRIMARY KEY (tenant, account, key)
);
CREATE INDEX idempotency_keys_began ON idempotency_keys (tenant, began_at);
