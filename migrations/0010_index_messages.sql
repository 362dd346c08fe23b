-- The expression is explained in 0008_index_users.sql.
CREATE INDEX IF NOT EXISTS messages_by_created ON messages (
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS messages_by_conversation ON messages (
  conversationId,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS messages_by_role ON messages (
  role,
  CASE WHEN createdAt GLOB '*[^0-9]*' THEN replace(replace(createdAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', createdAt, 'unixepoch') END,
  id
);
