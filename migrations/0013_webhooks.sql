-- Webhooks: what happens is written down in the transaction in which it happens, and told to others after it.

-- listening: which kinds of news anybody of the tenant wants to be told, as bits. temporary: patterns of names
-- under which nothing is told, one a line; NULL is the installation's. Both are read with the row that every
-- change locks.
ALTER TABLE clocks ADD COLUMN listening BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clocks ADD COLUMN temporary TEXT;

-- number: that of the line in the audit log; part: its place among the news of that line.
-- only_to: the one webhook that is to be told; NULL is whoever wants to. at: microseconds.
CREATE TABLE outbox (
    tenant BIGINT NOT NULL,
    number BIGINT NOT NULL,
    part BIGINT NOT NULL,
    id BYTES NOT NULL,
    topic BIGINT NOT NULL,
    at BIGINT NOT NULL,
    only_to BYTES,
    path TEXT,
    from_path TEXT,
    data TEXT NOT NULL,
    PRIMARY KEY (tenant, number, part)
);

-- sealed: the secret that signs, under the tenant's data key. before_sealed: the one before, which signs too
-- until before_until. disabled: 0 no, 1 by somebody, 2 by the receiver (410). path: the folder, '' is all.
CREATE TABLE webhooks (
    tenant BIGINT NOT NULL,
    id BYTES NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    topics BIGINT NOT NULL,
    path TEXT NOT NULL,
    sealed BYTES NOT NULL,
    before_sealed BYTES,
    before_until BIGINT,
    disabled BIGINT NOT NULL,
    made_by TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX webhooks_name ON webhooks (tenant, name);

-- state: 1 waiting, 2 delivered, 3 dead. since: from when on it is counted how long it is tried. done_at: when it
-- was delivered or given up. said: what came of the last try.
CREATE TABLE webhook_deliveries (
    tenant BIGINT NOT NULL,
    webhook BYTES NOT NULL,
    number BIGINT NOT NULL,
    part BIGINT NOT NULL,
    state BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    since BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    done_at BIGINT,
    status BIGINT,
    said TEXT,
    PRIMARY KEY (tenant, webhook, number, part)
);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (tenant, webhook, number, part) WHERE state = 1;
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (tenant, state, done_at);
CREATE INDEX webhook_deliveries_of ON webhook_deliveries (tenant, number, part);

-- Tenants that have webhooks, for whoever looks through all of them. told: up to which number of the outbox
-- deliveries were made.
CREATE TABLE webhook_tenants (
    tenant BIGINT PRIMARY KEY,
    told BIGINT NOT NULL
);
