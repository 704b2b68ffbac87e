-- Wrappings of data keys beside those in data_keys: by them a tenant is read in its replica when the key service that
-- wraps its keys is lost.

-- region: the one whose key service wrapped it, or the key file where it has none. at: when it was made.
CREATE TABLE key_copies (
    tenant BIGINT NOT NULL,
    version BIGINT NOT NULL,
    region BIGINT NOT NULL,
    provider TEXT NOT NULL,
    wrapped BYTES NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant, version, region)
);
