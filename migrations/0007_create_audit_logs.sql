-- No key to users: an entry outlives the account that it tells of.
CREATE TABLE IF NOT EXISTS audit_logs (
  id TEXT PRIMARY KEY,
  userId TEXT,
  action TEXT,
  resourceType TEXT,
  resourceId TEXT,
  metadata TEXT, -- JSON
  createdAt TEXT DEFAULT (datetime('now'))
);
