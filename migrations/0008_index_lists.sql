-- Each list is paged in descending order of an instant, which stands in its column in one of three forms: SQLite's,
-- JavaScript's, and Unix seconds. The expression brings them into one order; queries repeat it word for word.

CREATE INDEX IF NOT EXISTS users_by_created ON users (
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS users_by_tier ON users (
  tier,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS users_by_status ON users (
  subscriptionStatus,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);

CREATE INDEX IF NOT EXISTS conversations_by_last_message ON conversations (
  CASE WHEN lastMessageAt GLOB '*[^0-9]*' THEN replace(replace(lastMessageAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', lastMessageAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS conversations_by_user ON conversations (
  userId,
  CASE WHEN lastMessageAt GLOB '*[^0-9]*' THEN replace(replace(lastMessageAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', lastMessageAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS conversations_pinned ON conversations (
  CASE WHEN lastMessageAt GLOB '*[^0-9]*' THEN replace(replace(lastMessageAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', lastMessageAt, 'unixepoch') END,
  id
) WHERE pinned;
CREATE INDEX IF NOT EXISTS conversations_archived ON conversations (
  CASE WHEN lastMessageAt GLOB '*[^0-9]*' THEN replace(replace(lastMessageAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', lastMessageAt, 'unixepoch') END,
  id
) WHERE archived;

CREATE INDEX IF NOT EXISTS messages_by_created ON messages (
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS messages_by_conversation ON messages (
  conversationId,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS messages_by_role ON messages (
  role,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);

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

CREATE INDEX IF NOT EXISTS usage_by_created ON api_usage (
  CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', created_at, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS usage_by_user ON api_usage (
  user_id,
  CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', created_at, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS usage_by_model ON api_usage (
  model,
  CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', created_at, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS usage_cached ON api_usage (
  CASE WHEN created_at GLOB '*[^0-9]*' THEN replace(replace(created_at,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', created_at, 'unixepoch') END,
  id
) WHERE cached;

CREATE INDEX IF NOT EXISTS audit_by_created ON audit_logs (
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS audit_by_user ON audit_logs (
  userId,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS audit_by_action ON audit_logs (
  action,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS audit_by_resource_type ON audit_logs (
  resourceType,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
