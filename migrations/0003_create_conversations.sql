CREATE TABLE IF NOT EXISTS conversations (
  id TEXT PRIMARY KEY,
  userId TEXT REFERENCES users (id) ON DELETE CASCADE,
  title TEXT,
  modelId TEXT,
  pinned BOOLEAN DEFAULT 0,
  archived BOOLEAN DEFAULT 0,
  lastMessageAt TEXT,
  createdAt TEXT DEFAULT (datetime('now')),
  updatedAt TEXT DEFAULT (datetime('now'))
);

CREATE TABLE IF NOT EXISTS messages (
  id TEXT PRIMARY KEY,
  conversationId TEXT REFERENCES conversations (id) ON DELETE CASCADE,
  role TEXT CHECK (role IN ('user', 'assistant', 'system')),
  content TEXT NOT NULL,
  modelId TEXT,
  metadata TEXT, -- JSON: attachments etc.
  createdAt TEXT DEFAULT (datetime('now')),
  updatedAt TEXT DEFAULT (datetime('now'))
);
