-- Locks that WebDAV's clients take, and the properties that they keep with files and folders.

-- deep: all that is below is locked, too. shared: others may lock it so as well. owner: XML in which the
-- client says who holds it. expires_at: by the database's clock.
CREATE TABLE locks (
    tenant BIGINT NOT NULL,
    token BYTES NOT NULL,
    node BYTES NOT NULL,
    account BIGINT NOT NULL,
    deep BIGINT NOT NULL,
    shared BIGINT NOT NULL,
    owner TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, token)
);
CREATE INDEX locks_node ON locks (tenant, node);
CREATE INDEX locks_expiry ON locks (tenant, expires_at);

-- space: the namespace, perhaps none. value: the whole element, which needs no declaration around it.
CREATE TABLE properties (
    tenant BIGINT NOT NULL,
    node BYTES NOT NULL,
    space NAME NOT NULL,
    name NAME NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (tenant, node, space, name)
);
