-- By which SSH host keys clients know an instance (SHA-256, parted by blanks), and where these are kept.
ALTER TABLE instances ADD COLUMN host_keys TEXT;
ALTER TABLE instances ADD COLUMN host_keys_kept TEXT;
