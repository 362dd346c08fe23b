-- The expression is explained in 0008_index_users.sql.
CREATE INDEX IF NOT EXISTS transactions_by_created ON battery_transactions (
  CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', created_at, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS transactions_by_user ON battery_transactions (
  user_id,
  CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', created_at, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS transactions_by_type ON battery_transactions (
  type,
  CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', created_at, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS transactions_by_payment_intent ON battery_transactions (stripe_payment_intent_id) WHERE stripe_payment_intent_id IS NOT NULL;
