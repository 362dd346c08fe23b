DROP INDEX IF EXISTS users_by_email;
DROP INDEX IF EXISTS users_by_name;
DROP INDEX IF EXISTS users_by_subscription;
DROP INDEX IF EXISTS users_by_stripe_customer;
DROP INDEX IF EXISTS users_by_status;
DROP INDEX IF EXISTS users_by_tier;
DROP INDEX IF EXISTS users_by_created;
