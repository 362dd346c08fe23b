DROP TABLE IF EXISTS battery_transactions;
DROP TABLE IF EXISTS user_battery;
