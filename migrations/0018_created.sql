-- When a file or folder was created, where a client said so (MFCT, Win32CreationTime); else its id tells.
ALTER TABLE entries ADD COLUMN created BIGINT;
ALTER TABLE entries_past ADD COLUMN created BIGINT;
