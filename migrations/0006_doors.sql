-- What doors beside SFTP ask of accounts and tenants.

-- clear_text: 1 when it may log in where what is typed can be read on the way. door_options: words for
-- the front ends that read them; none is what the settings say.
ALTER TABLE accounts ADD COLUMN clear_text BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN door_options TEXT;
ALTER TABLE tenants ADD COLUMN door_options TEXT;

-- Names of hosts, in lowercase, that clients ask for and that belong to one tenant.
CREATE TABLE tenant_hosts (
    host NAME PRIMARY KEY,
    tenant BIGINT NOT NULL
);
CREATE INDEX tenant_hosts_tenant ON tenant_hosts (tenant);
