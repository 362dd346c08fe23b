-- Units throughout.
CREATE TABLE IF NOT EXISTS user_battery (
  user_id TEXT PRIMARY KEY,
  total_balance INTEGER DEFAULT 0,
  daily_allowance INTEGER DEFAULT 0,
  last_daily_reset TEXT, -- a UTC day
  created_at TEXT DEFAULT (datetime('now')),
  updated_at TEXT DEFAULT (datetime('now'))
);

CREATE TABLE IF NOT EXISTS battery_transactions (
  id TEXT PRIMARY KEY,
  user_id TEXT,
  type TEXT,
  amount INTEGER, -- + for a credit, - for usage
  balance_after INTEGER,
  stripe_payment_intent_id TEXT,
  metadata TEXT, -- JSON
  created_at TEXT DEFAULT (datetime('now'))
);
