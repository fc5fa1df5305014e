-- No foreign keys anywhere: each would cost a lookup and a row lock for every message, and nothing here
-- is ever deleted piecemeal by hand.

CREATE TABLE conversations (
    id                uuid PRIMARY KEY,
    type              text        NOT NULL CHECK (type IN ('direct', 'group', 'community')),
    title             text,
    description       text,
    avatar_url        text,
    creator_id        uuid        NOT NULL,
    context_type      text        CHECK (context_type IN ('event', 'business', 'listing', 'general')),
    context_id        uuid,
    context_title     text,
    direct_key        text        UNIQUE,
    participant_count integer     NOT NULL DEFAULT 0,
    message_count     bigint      NOT NULL DEFAULT 0,
    last_message_seq  bigint      NOT NULL DEFAULT 0,
    last_message_id   uuid,
    last_message_at   timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CHECK ((type = 'direct') = (direct_key IS NOT NULL))
) WITH (fillfactor = 70);
-- Every batch of messages updates message_count and last_message_* of its conversations. The free space
-- keeps those updates heap-only (HOT), and that holds only while none of these columns is indexed.
COMMENT ON TABLE conversations IS 'What is the same for everyone who looks at a conversation.';
COMMENT ON COLUMN conversations.context_title IS
    'The title its opener gave, shown to these participants until the owning service describes the context.';
COMMENT ON COLUMN conversations.direct_key IS
    'Both users and the context in canonical order: concurrent opens of the same pair meet in one row.';
COMMENT ON COLUMN conversations.message_count IS
    'Dense: the counter of the newest message. Only the persister raises it; unread counts are derived from it.';
COMMENT ON COLUMN conversations.last_message_seq IS 'Stream sequence of the newest message, 0 without one.';

-- Conversations about a context: system messages of other services address all of them.
CREATE INDEX conversations_context ON conversations (context_type, context_id) WHERE context_id IS NOT NULL;

CREATE TABLE conversation_participants (
    conversation_id      uuid        NOT NULL,
    user_id              uuid        NOT NULL,
    role                 text        NOT NULL CHECK (role IN ('member', 'admin')),
    joined_at            timestamptz NOT NULL DEFAULT now(),
    last_read_seq        bigint      NOT NULL DEFAULT 0,
    last_read_counter    bigint      NOT NULL DEFAULT 0,
    last_read_message_id uuid,
    last_read_at         timestamptz,
    delivered_seq        bigint      NOT NULL DEFAULT 0,
    delivered_at         timestamptz,
    is_pinned            boolean     NOT NULL DEFAULT false,
    pinned_at            timestamptz,
    is_muted             boolean     NOT NULL DEFAULT false,
    muted_until          timestamptz,
    is_archived          boolean     NOT NULL DEFAULT false,
    archived_at          timestamptz,
    PRIMARY KEY (conversation_id, user_id)
) WITH (fillfactor = 70);
-- Markers move with every read and every own message: the same reasoning as for conversations.
COMMENT ON TABLE conversation_participants IS
    'Who is in a conversation, how far they are and how they see it. Leaving deletes the row.';
COMMENT ON COLUMN conversation_participants.last_read_counter IS
    'The counter of the last message read. Unread = conversations.message_count minus this; it never goes back.';
COMMENT ON COLUMN conversation_participants.delivered_seq IS
    'Everything up to this sequence has provably reached a device.';

-- Somebody's own conversations: on every connect and for the list. It covers what a connect needs.
CREATE INDEX conversation_participants_user ON conversation_participants (user_id) INCLUDE (conversation_id);
-- The first participants shown inside a conversation, and their paging, without sorting ten thousand members.
CREATE INDEX conversation_participants_joined ON conversation_participants (conversation_id, joined_at, user_id);
-- "Is there another admin?" in a large community.
CREATE INDEX conversation_participants_admins ON conversation_participants (conversation_id) WHERE role = 'admin';
