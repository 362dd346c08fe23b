-- Exact and prefix searches, and usage by day. Columns that are mostly NULL index only what they hold.
CREATE INDEX IF NOT EXISTS users_by_stripe_customer ON users (stripeCustomerId) WHERE stripeCustomerId IS NOT NULL;
CREATE INDEX IF NOT EXISTS users_by_subscription ON users (subscriptionId) WHERE subscriptionId IS NOT NULL;
CREATE INDEX IF NOT EXISTS users_by_name ON users (name COLLATE NOCASE);
CREATE INDEX IF NOT EXISTS users_by_email ON users (email COLLATE NOCASE);
CREATE INDEX IF NOT EXISTS subscriptions_by_stripe_customer ON user_subscriptions (stripe_customer_id) WHERE stripe_customer_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS subscriptions_by_stripe_subscription ON user_subscriptions (stripe_subscription_id) WHERE stripe_subscription_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS transactions_by_payment_intent ON battery_transactions (stripe_payment_intent_id) WHERE stripe_payment_intent_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS usage_by_day ON api_usage (date, user_id);
CREATE INDEX IF NOT EXISTS daily_usage_by_user ON daily_usage_summary (user_id, date, id);
CREATE INDEX IF NOT EXISTS daily_usage_by_day ON daily_usage_summary (date, id);
CREATE INDEX IF NOT EXISTS audit_by_resource ON audit_logs (resourceId) WHERE resourceId IS NOT NULL;
