DROP INDEX IF EXISTS subscriptions_by_stripe_subscription;
DROP INDEX IF EXISTS subscriptions_by_stripe_customer;
DROP INDEX IF EXISTS subscriptions_by_status;
DROP INDEX IF EXISTS subscriptions_by_plan;
DROP INDEX IF EXISTS subscriptions_by_user;
DROP INDEX IF EXISTS subscriptions_by_created;
