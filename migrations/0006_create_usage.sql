CREATE TABLE IF NOT EXISTS api_usage (
  id TEXT PRIMARY KEY,
  user_id TEXT,
  conversation_id TEXT,
  message_id TEXT,
  model TEXT,
  input_tokens INTEGER,
  output_tokens INTEGER,
  battery_used INTEGER, -- units
  cached BOOLEAN DEFAULT 0,
  date TEXT, -- a UTC day
  created_at TEXT DEFAULT (datetime('now'))
);

CREATE TABLE IF NOT EXISTS daily_usage_summary (
  id TEXT PRIMARY KEY,
  user_id TEXT,
  date TEXT, -- a UTC day
  total_battery_used INTEGER DEFAULT 0, -- units
  total_messages INTEGER DEFAULT 0,
  models_used TEXT, -- JSON object: calls by model
  created_at TEXT DEFAULT (datetime('now')),
  updated_at TEXT DEFAULT (datetime('now'))
);
