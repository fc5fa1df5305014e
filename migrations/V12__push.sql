-- What is to be shown on which device, and what is shown there. The push role writes both; a row that waits survives
-- whoever was about to send it.

-- Somebody who is blocked alerts nobody who blocked them, nor the other way round. The feature itself comes later; push
-- honours the table from the start.
CREATE TABLE blocks (
    blocker_id uuid        NOT NULL,
    blocked_id uuid        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (blocker_id, blocked_id)
);
COMMENT ON TABLE blocks IS 'Who wants to hear nothing of whom.';

CREATE TABLE push_jobs (
    conversation_id uuid        NOT NULL,
    user_id         uuid        NOT NULL,
    device_id       uuid        NOT NULL,
    seq             bigint      NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('alert', 'refresh')),
    due_at          timestamptz NOT NULL,
    attempts        integer     NOT NULL DEFAULT 0,
    is_claimed      boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (conversation_id, user_id, device_id, seq, kind)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
-- Rows live for a fraction of a second, 2,000 come a second: the table is vacuumed whenever it is looked at, however
-- large it is, and stays as small as what waits.
COMMENT ON TABLE push_jobs IS
    'What is to be sent. No content: that is read when it is sent, so a deletion has nothing to look for here.';
COMMENT ON COLUMN push_jobs.seq IS
    'Of an alert: the place of its message. Of a refresh: the place of what made it necessary. Those of one device and
conversation are sent one by one in this order.';
COMMENT ON COLUMN push_jobs.kind IS
    'alert: show the message. refresh: make what is shown agree with what is unread, without a sound.';
COMMENT ON COLUMN push_jobs.due_at IS 'Nobody takes it before. While it is being sent: when others may take it after all.';
COMMENT ON COLUMN push_jobs.is_claimed IS
    'Somebody is sending it. Found so when it is due again, that somebody is gone, and it may have been sent.';
CREATE INDEX push_jobs_due ON push_jobs (due_at);

CREATE TABLE push_slots (
    conversation_id uuid        NOT NULL,
    user_id         uuid        NOT NULL,
    device_id       uuid        NOT NULL,
    done_seq        bigint      NOT NULL,
    shown_seq       bigint      NOT NULL DEFAULT 0,
    changed_at      timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, user_id, device_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE push_slots IS
    'What a device shows: one notification a conversation. A row goes when nothing is shown any more.';
COMMENT ON COLUMN push_slots.done_seq IS 'Alerts up to this place were sent or given up: none comes again.';
COMMENT ON COLUMN push_slots.shown_seq IS 'The message that is shown, 0 when none is.';

-- Alerts are decided twice: at once, and for people with a connection a little later.
INSERT INTO progress (name, last_seq) VALUES ('push', 0), ('push-grace', 0);
