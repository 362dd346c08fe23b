-- The expression is explained in 0008_index_users.sql.
CREATE INDEX IF NOT EXISTS subscriptions_by_created ON user_subscriptions (
  CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', created_at, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS subscriptions_by_user ON user_subscriptions (
  user_id,
  CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', created_at, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS subscriptions_by_plan ON user_subscriptions (
  plan_id,
  CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', created_at, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS subscriptions_by_status ON user_subscriptions (
  status,
  CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', created_at, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS subscriptions_by_stripe_customer ON user_subscriptions (stripe_customer_id) WHERE stripe_customer_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS subscriptions_by_stripe_subscription ON user_subscriptions (stripe_subscription_id) WHERE stripe_subscription_id IS NOT NULL;
