-- What a person may ask of their own data: a copy to take away, and its end.

CREATE TABLE exports (
    user_id    uuid        PRIMARY KEY,
    key        uuid        NOT NULL,
    state      text        NOT NULL CHECK (state IN ('building', 'ready', 'failed')),
    messages   bigint      NOT NULL DEFAULT 0,
    files      bigint      NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL
);
COMMENT ON TABLE exports IS 'The latest copy that somebody has asked for: one at a time a user.';
COMMENT ON COLUMN exports.key IS
    'Names the attempt, and the archive among the files, where it is a row of media that belongs to no conversation.';
COMMENT ON COLUMN exports.changed_at IS 'While building a sign of life: without one for a while somebody else may begin.';

-- Whose files are they? For the copy and for the end.
CREATE INDEX media_owner ON media (owner_id, key);

CREATE TABLE user_erasures (
    user_id         uuid        PRIMARY KEY,
    requested_at    timestamptz NOT NULL,
    changed_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    stage           text        NOT NULL CHECK (stage IN ('closing', 'messages', 'rows', 'log', 'done')),
    through         bigint      NOT NULL DEFAULT 0,
    conversation_id uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    place           bigint      NOT NULL DEFAULT 0,
    messages        bigint      NOT NULL DEFAULT 0,
    found           bigint      NOT NULL DEFAULT 0,
    held            bigint      NOT NULL DEFAULT 0
);
COMMENT ON TABLE user_erasures IS
    'Whose data has to go, or is gone. A row stays, without anything but the id: tokens from before do not come back.';
COMMENT ON COLUMN user_erasures.through IS 'The end of the log when nobody could write in this name any more.';
COMMENT ON COLUMN user_erasures.conversation_id IS 'Those up to here are done in this stage; place is how far the next one is.';
COMMENT ON COLUMN user_erasures.found IS 'What this pass has found to do: a stage is over after a pass that found nothing.';
COMMENT ON COLUMN user_erasures.held IS 'Conversations that were left out because they are under a legal hold.';
CREATE INDEX user_erasures_open ON user_erasures (requested_at) WHERE finished_at IS NULL;
-- Nodes ask for what is news to them.
CREATE INDEX user_erasures_changed ON user_erasures (changed_at);

-- An index of messages by sender would cost every message its share. Somebody writes only where they are or once were a
-- participant; who is one is known, and this has who was.
CREATE TABLE departures (
    user_id         uuid NOT NULL,
    conversation_id uuid NOT NULL,
    PRIMARY KEY (user_id, conversation_id)
);
COMMENT ON TABLE departures IS 'Conversations that somebody has left, where messages of theirs may be.';

-- A trigger, and no line of the program: no way of leaving can be forgotten, and the previous version has none.
CREATE FUNCTION note_departure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO departures (user_id, conversation_id) VALUES (OLD.user_id, OLD.conversation_id)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_departure AFTER DELETE ON conversation_participants
    FOR EACH ROW EXECUTE FUNCTION note_departure();

-- Once, through all messages: some ten seconds for ten million.
INSERT INTO departures (user_id, conversation_id)
SELECT DISTINCT m.sender_id, m.conversation_id FROM messages m
WHERE NOT EXISTS (SELECT FROM conversation_participants p
                  WHERE p.conversation_id = m.conversation_id AND p.user_id = m.sender_id);

CREATE TABLE log_holes (
    seq bigint PRIMARY KEY
);
COMMENT ON TABLE log_holes IS
    'Places of the log that were erased although what they said still stands: it named somebody who is gone. A node that
begins fills its memory from behind the last of them.';
