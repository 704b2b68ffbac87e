-- Uploads that clients address by an id instead of a name. Each is an upload as others are, whose row in
-- uploads has no folder, so that no name leads to it.

-- kind: 1 a file, 2 a part that is to be joined with others, 3 a file that was joined of parts. length:
-- null while the client has not said it. parent, name, node, exclusive: where a file is published; null
-- for parts. metadata, joined: what the client said, as it said it. done: published.
CREATE TABLE addressed_uploads (
    tenant BIGINT NOT NULL,
    id BYTES NOT NULL,
    account BIGINT NOT NULL,
    upload BYTES NOT NULL,
    kind BIGINT NOT NULL,
    length BIGINT,
    parent BYTES,
    name NAME NULL,
    node BYTES,
    exclusive BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    joined TEXT,
    done BIGINT NOT NULL,
    touched_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX addressed_uploads_touched ON addressed_uploads (tenant, touched_at);
