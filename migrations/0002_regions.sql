-- Regions, copies of blobs in other regions, and keys kept by a key service.

-- Regions by the name they have in the settings. Number 0 is where everything was before.
CREATE TABLE regions (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
INSERT INTO regions (id, name) VALUES (0, 'main');

-- region: where new blobs go; replica: where copies are kept; replicated_at: all live blobs of an
-- earlier time have their copy there. kms_key: instead of the region's. keys_destroyed_at: since
-- then nothing can be read or written any more.
ALTER TABLE tenants ADD COLUMN region BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN replica BIGINT;
ALTER TABLE tenants ADD COLUMN replicated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN kms_key TEXT;
ALTER TABLE tenants ADD COLUMN keys_destroyed_at BIGINT;

-- region: where it is. checkpoint: the store's notes on a blob that is not finished.
ALTER TABLE blobs ADD COLUMN region BIGINT NOT NULL DEFAULT 0;
ALTER TABLE blobs ADD COLUMN checkpoint BYTES;
CREATE INDEX blobs_region ON blobs (tenant, region, state);

-- Objects of blobs beside the one that the blob's row names. state: 1 being made, 2 there, 4 given up,
-- 5 being removed.
CREATE TABLE blob_copies (
    tenant BIGINT NOT NULL,
    id BYTES NOT NULL,
    region BIGINT NOT NULL,
    state BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id, region)
);
CREATE INDEX blob_copies_state ON blob_copies (tenant, state, at);
