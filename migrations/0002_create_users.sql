CREATE TABLE IF NOT EXISTS users (
  id TEXT PRIMARY KEY, -- the Clerk user id
  email TEXT UNIQUE NOT NULL,
  name TEXT,
  avatarUrl TEXT,
  stripeCustomerId TEXT,
  subscriptionStatus TEXT DEFAULT 'inactive',
  subscriptionId TEXT,
  tier TEXT DEFAULT 'free' CHECK (tier IN ('free', 'paid')),
  createdAt TEXT DEFAULT (datetime('now')),
  updatedAt TEXT DEFAULT (datetime('now'))
);
