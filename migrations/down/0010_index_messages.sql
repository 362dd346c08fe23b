DROP INDEX IF EXISTS messages_by_role;
DROP INDEX IF EXISTS messages_by_conversation;
DROP INDEX IF EXISTS messages_by_created;
