DROP INDEX entries_content;
DROP INDEX entries_past_content;
DROP INDEX blobs_region;
ALTER INDEX blobs_region_new RENAME TO blobs_region;
