DROP INDEX IF EXISTS daily_usage_by_day;
DROP INDEX IF EXISTS daily_usage_by_user;
DROP INDEX IF EXISTS usage_by_day;
DROP INDEX IF EXISTS usage_cached;
DROP INDEX IF EXISTS usage_by_model;
DROP INDEX IF EXISTS usage_by_user;
DROP INDEX IF EXISTS usage_by_created;
