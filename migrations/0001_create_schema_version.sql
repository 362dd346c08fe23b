-- One row for each migration that was applied. wrangler leaves it empty and keeps d1_migrations instead.
CREATE TABLE IF NOT EXISTS schema_version (
  version INTEGER PRIMARY KEY,
  name TEXT,
  applied_at INTEGER, -- Unix seconds
  checksum TEXT -- SHA-256 of the file, in hex
);
