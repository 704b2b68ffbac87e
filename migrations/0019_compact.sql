-- Each file that is stored writes less. From contents to the entries that name them no index leads any more: only
-- checks look for those. Which blobs are in a region does not change with their states.
DROP INDEX entries_content;
DROP INDEX entries_past_content;
DROP INDEX blobs_region;
CREATE INDEX blobs_region ON blobs (tenant, region, id);
