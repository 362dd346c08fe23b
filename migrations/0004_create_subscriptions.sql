CREATE TABLE IF NOT EXISTS subscription_plans (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  price_monthly INTEGER, -- cents
  price_annual INTEGER, -- cents
  battery_units INTEGER, -- a period
  daily_battery INTEGER, -- a day
  features TEXT, -- JSON array
  stripe_price_id_monthly TEXT,
  stripe_price_id_annual TEXT,
  created_at TEXT DEFAULT (datetime('now')),
  updated_at TEXT DEFAULT (datetime('now'))
);

INSERT OR IGNORE INTO subscription_plans
  (id, name, price_monthly, price_annual, battery_units, daily_battery, features)
VALUES
  ('starter', 'Starter', 499, 4790, 6000, 200, '["6,000 battery units a month", "200 units a day"]'),
  ('daily', 'Daily', 1299, 12470, 18000, 600, '["18,000 battery units a month", "600 units a day"]'),
  ('power', 'Power', 2999, 28790, 45000, 1500, '["45,000 battery units a month", "1,500 units a day"]'),
  ('ultimate', 'Ultimate', 7999, 76790, 150000, 5000, '["150,000 battery units a month", "5,000 units a day"]');

-- No cascade: what was paid for does not go with the account.
CREATE TABLE IF NOT EXISTS user_subscriptions (
  id TEXT PRIMARY KEY,
  user_id TEXT REFERENCES users (id),
  plan_id TEXT REFERENCES subscription_plans (id),
  stripe_customer_id TEXT,
  stripe_subscription_id TEXT,
  status TEXT,
  current_period_start TEXT,
  current_period_end TEXT,
  cancel_at TEXT,
  canceled_at TEXT,
  trial_end TEXT,
  created_at TEXT DEFAULT (datetime('now')),
  updated_at TEXT DEFAULT (datetime('now'))
);
