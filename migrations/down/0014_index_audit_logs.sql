DROP INDEX IF EXISTS audit_by_resource;
DROP INDEX IF EXISTS audit_by_resource_type;
DROP INDEX IF EXISTS audit_by_action;
DROP INDEX IF EXISTS audit_by_user;
DROP INDEX IF EXISTS audit_by_created;
