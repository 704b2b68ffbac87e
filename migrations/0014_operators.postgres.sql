ALTER TABLE live_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE live_sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON live_sessions USING
    (tenant = nullif(current_setting('sealift.tenant', true), '')::bigint);

GRANT SELECT, INSERT, UPDATE, DELETE ON live_sessions TO SERVER_ROLE;

-- A server knows operators and makes none: whoever takes one over is no operator by that.
GRANT SELECT, UPDATE (used_at) ON operators TO SERVER_ROLE;
