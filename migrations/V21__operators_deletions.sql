-- Deletions that come from elsewhere than a client's request: of an operator, of a rule about how long things are kept.

CREATE TABLE due_deletions (
    message_id   uuid        PRIMARY KEY,
    requested_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE due_deletions IS
    'Messages that are to become tombstones. The persister''s leader puts their deletions into the log, like those of messages
that have vanished, and a row leaves when its deletion was applied.';
CREATE INDEX due_deletions_order ON due_deletions (requested_at, message_id);

ALTER TABLE conversations ADD COLUMN deleted_at timestamptz;
COMMENT ON COLUMN conversations.deleted_at IS
    'Deleted for everyone since then: nobody is in it, nobody can come into it, and its messages become tombstones.';
