-- Finding messages by their words. The index proposes; what is shown is read from `messages` and compared once more,
-- so that a row here that is behind its message never shows what is no longer there.

-- The indexer follows the projection in the order of the log.
CREATE INDEX messages_seq ON messages (seq);

CREATE TABLE message_search (
    conversation_id uuid        NOT NULL,
    seq             bigint      NOT NULL,
    sender_id       uuid        NOT NULL,
    type            text        NOT NULL,
    created_at      timestamptz NOT NULL,
    words           tsvector    NOT NULL,
    PRIMARY KEY (conversation_id, seq)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);
COMMENT ON TABLE message_search IS
    'The words of each message that is no tombstone. Written behind the projection, and by a rebuild.';
COMMENT ON COLUMN message_search.words IS
    'Each begins with six digits of its conversation: a word that everybody uses is then looked up only where the asker
is, and not among all messages.';

-- Entries go in at once, in large batches: a list of pending ones would be read by every search.
CREATE INDEX message_search_words ON message_search USING gin (words) WITH (fastupdate = off);

CREATE TABLE search_words (
    word     text COLLATE "C" PRIMARY KEY,
    messages bigint NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE search_words IS
    'How many messages have a word, all conversations together: how to look for it, and what it may be a slip of. The row of
the empty word counts messages. A word leaves with the last message that has it.';
-- A slip is in the first half of a word or in the second; the other half finds it.
CREATE INDEX search_words_ending ON search_words (reverse(word) COLLATE "C");
INSERT INTO search_words (word, messages) VALUES ('', 0);

CREATE TABLE search_rebuild (
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    done_seq   bigint      NOT NULL,
    target_seq bigint      NOT NULL,
    started_at timestamptz NOT NULL
);
COMMENT ON TABLE search_rebuild IS 'A rebuild that is under way, and how far it is: whoever comes next goes on there.';

INSERT INTO progress (name, last_seq) VALUES ('search', 0);
