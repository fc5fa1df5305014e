-- Messages that vanish by themselves, and messages that are sent later. The persister's leader looks for both.

-- Messages without an expiry, which are nearly all, cost this index nothing.
CREATE INDEX messages_expiring ON messages (expires_at) WHERE expires_at IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE scheduled_messages (
    id                  uuid        PRIMARY KEY,
    conversation_id     uuid        NOT NULL,
    sender_id           uuid        NOT NULL,
    send_at             timestamptz NOT NULL,
    ttl_seconds         bigint,
    msg_id              text        NOT NULL,
    payload             text        NOT NULL,
    reply_to_message_id uuid,
    mentions            uuid[]      NOT NULL,
    state               text        NOT NULL CHECK (state IN ('waiting', 'sending', 'failed', 'cancelled')),
    created_at          timestamptz NOT NULL,
    changed_at          timestamptz NOT NULL
);
COMMENT ON TABLE scheduled_messages IS
    'Accepted, and sent at its time. A row leaves when its message has come back through the log.';
COMMENT ON COLUMN scheduled_messages.payload IS
    'The message as the log would hold it; the times in it are those of the request. Empty once cancelled.';
COMMENT ON COLUMN scheduled_messages.msg_id IS 'Goes out as Nats-Msg-Id, the same as for a message that is sent at once.';
COMMENT ON COLUMN scheduled_messages.state IS
    'waiting: can be cancelled. sending: cannot any more. failed: the sender was no longer a participant. cancelled: kept
for a while, so that a late repetition of the request does not bring it back.';

CREATE INDEX scheduled_messages_due ON scheduled_messages (send_at) WHERE state IN ('waiting', 'sending');
CREATE INDEX scheduled_messages_sender ON scheduled_messages (sender_id, send_at);
CREATE INDEX scheduled_messages_over ON scheduled_messages (changed_at) WHERE state IN ('failed', 'cancelled');
