-- With millions of blobs it takes minutes, while nothing is written down of any, but all are read.
CREATE INDEX IF NOT EXISTS blobs_region_new ON blobs (tenant, region, id);
