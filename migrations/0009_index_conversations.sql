-- The expression is explained in 0008_index_users.sql.
CREATE INDEX IF NOT EXISTS conversations_by_last_message ON conversations (
  CASE WHEN lastMessageAt GLOB '*[^0-9]*' THEN replace(replace(lastMessageAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', lastMessageAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS conversations_by_user ON conversations (
  userId,
  CASE WHEN lastMessageAt GLOB '*[^0-9]*' THEN replace(replace(lastMessageAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', lastMessageAt, 'unixepoch') END,
  id
);
CREATE INDEX IF NOT EXISTS conversations_pinned ON conversations (
  CASE WHEN lastMessageAt GLOB '*[^0-9]*' THEN replace(replace(lastMessageAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', lastMessageAt, 'unixepoch') END,
  id
) WHERE pinned;
CREATE INDEX IF NOT EXISTS conversations_archived ON conversations (
  CASE WHEN lastMessageAt GLOB '*[^0-9]*' THEN replace(replace(lastMessageAt,'T',' '),'Z','') ELSE strftime('%Y-%m-%d %H:%M:%f', lastMessageAt, 'unixepoch') END,
  id
) WHERE archived;
