-- The expression is explained in 0008_index_users.sql.
CREATE INDEX IF NOT EXISTS audit_by_created ON audit_logs (
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS audit_by_user ON audit_logs (
  userId,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS audit_by_action ON audit_logs (
  action,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS audit_by_resource_type ON audit_logs (
  resourceType,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS audit_by_resource ON audit_logs (resourceId) WHERE resourceId IS NOT NULL;
