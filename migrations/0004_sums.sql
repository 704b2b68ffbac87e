-- Checksums that clients ask for beside SHA-256, kept once one has asked.
ALTER TABLE contents ADD COLUMN md5 BYTES;
ALTER TABLE contents ADD COLUMN sha1 BYTES;
ALTER TABLE contents ADD COLUMN crc32 BYTES;
