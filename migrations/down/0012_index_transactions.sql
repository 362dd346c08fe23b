DROP INDEX IF EXISTS transactions_by_payment_intent;
DROP INDEX IF EXISTS transactions_by_type;
DROP INDEX IF EXISTS transactions_by_user;
DROP INDEX IF EXISTS transactions_by_created;
