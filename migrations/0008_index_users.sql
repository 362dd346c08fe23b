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
CREATE INDEX IF NOT EXISTS users_by_stripe_customer ON users (stripeCustomerId) WHERE stripeCustomerId IS NOT NULL;
CREATE INDEX IF NOT EXISTS users_by_subscription ON users (subscriptionId) WHERE subscriptionId IS NOT NULL;
CREATE INDEX IF NOT EXISTS users_by_name ON users (name COLLATE NOCASE);
CREATE INDEX IF NOT EXISTS users_by_email ON users (email COLLATE NOCASE);
