-- The expression is explained in 0008_index_users.sql.
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
CREATE INDEX IF NOT EXISTS usage_by_day ON api_usage (date, user_id);
CREATE INDEX IF NOT EXISTS daily_usage_by_user ON daily_usage_summary (user_id, date, id);
CREATE INDEX IF NOT EXISTS daily_usage_by_day ON daily_usage_summary (date, id);
