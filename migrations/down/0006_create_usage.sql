DROP TABLE IF EXISTS daily_usage_summary;
DROP TABLE IF EXISTS api_usage;
