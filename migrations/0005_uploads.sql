-- Uploads that broke off can be gone on with.

-- node: the file it was opened on. base: what that held then. whole: whether it starts from nothing;
-- else its edits are laid over the file as it is when they are published. holder: drawn by whoever
-- took it over last.
ALTER TABLE uploads ADD COLUMN node BYTES;
ALTER TABLE uploads ADD COLUMN base BYTES;
ALTER TABLE uploads ADD COLUMN whole BIGINT NOT NULL DEFAULT 1;
ALTER TABLE uploads ADD COLUMN holder BYTES;
CREATE INDEX uploads_node ON uploads (tenant, account, node);

-- What was done to the content so far, in order. kind: 1 append, 2 lay, 3 set the length (to start).
CREATE TABLE upload_edits (
    tenant BIGINT NOT NULL,
    upload BYTES NOT NULL,
    number BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    blob BYTES,
    blob_start BIGINT NOT NULL,
    PRIMARY KEY (tenant, upload, number)
);
INSERT INTO upload_edits (tenant, upload, number, kind, start, length, blob, blob_start)
    SELECT tenant, upload, start, 2, start, length, blob, blob_start FROM upload_extents;
DROP TABLE upload_extents;

-- Whether the object of a blob that is not finished is complete nevertheless: its last frame will
-- never come.
ALTER TABLE blobs ADD COLUMN halted BIGINT NOT NULL DEFAULT 0;
