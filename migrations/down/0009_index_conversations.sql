DROP INDEX IF EXISTS conversations_archived;
DROP INDEX IF EXISTS conversations_pinned;
DROP INDEX IF EXISTS conversations_by_user;
DROP INDEX IF EXISTS conversations_by_last_message;
