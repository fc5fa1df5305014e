-- Files that people share. Their bytes are in the object store, under the key; the row comes first and leaves last, so
-- that whatever a crash leaves in the store is still named here and gets collected.

CREATE TABLE media (
    key             uuid        PRIMARY KEY,
    owner_id        uuid        NOT NULL,
    conversation_id uuid,
    state           text        NOT NULL CHECK (state IN ('uploading', 'ready', 'erasing')),
    mime_type       text        NOT NULL,
    size            bigint      NOT NULL,
    width           integer,
    height          integer,
    duration        double precision,
    blurhash        text,
    thumbnail_type  text,
    file_name       text,
    keep_until      timestamptz,
    created_at      timestamptz NOT NULL
);
COMMENT ON COLUMN media.conversation_id IS
    'Whose participants may have it. Null until the first message names it: until then it is its owner''s alone.';
COMMENT ON COLUMN media.state IS
    'uploading: nobody gets it yet. erasing: nobody gets it any more, and its bytes still have to go.';
COMMENT ON COLUMN media.keep_until IS
    'The persister looks at it then: nothing may name it any more. Null while a message in the history names it.';

CREATE INDEX media_due ON media (keep_until) WHERE keep_until IS NOT NULL;
CREATE INDEX media_conversation ON media (conversation_id) WHERE conversation_id IS NOT NULL;

CREATE TABLE media_uses (
    media_key  uuid NOT NULL,
    message_id uuid NOT NULL,
    until      timestamptz,
    PRIMARY KEY (media_key, message_id)
);
COMMENT ON TABLE media_uses IS
    'Which messages name a file. The edge claims it before it sends a message, the persister confirms when the message has
come through the log, and a deletion takes the row away.';
COMMENT ON COLUMN media_uses.until IS 'A claim that nothing came of counts until then; null once it is confirmed.';
CREATE INDEX media_uses_message ON media_uses (message_id);
