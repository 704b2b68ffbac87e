-- What was made by a token, so that it ends when the token is revoked.

-- made_by: the token by which it was made; null for a password or a session, and for what was made before this was
-- written down.
ALTER TABLE api_tokens ADD COLUMN made_by BYTES;

-- By which tokens a link was made or changed.
CREATE TABLE link_makers (
    tenant BIGINT NOT NULL,
    token BYTES NOT NULL,
    link BYTES NOT NULL,
    PRIMARY KEY (tenant, token, link)
);
CREATE INDEX link_makers_link ON link_makers (tenant, link);
