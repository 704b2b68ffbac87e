-- A checksum that FTP clients ask for (XSHA512), kept once one has asked.
ALTER TABLE contents ADD COLUMN sha512 BYTES;
