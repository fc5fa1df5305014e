-- Who may not come in, and what people have reported.

CREATE TABLE user_standing (
    user_id    uuid        PRIMARY KEY,
    state      text        NOT NULL CHECK (state IN ('active', 'suspended', 'banned')),
    until      timestamptz,
    changed_at timestamptz NOT NULL
);
COMMENT ON TABLE user_standing IS
    'Users an operator has dealt with. Whoever has no row is active. It names nobody else''s table: a ban outlives the
account, or erasing it would be a way around.';
COMMENT ON COLUMN user_standing.until IS 'When a suspension ends by itself; null when an operator has to.';
COMMENT ON COLUMN user_standing.changed_at IS
    'By the clock of this server, and no other: nodes read what has changed since they last looked.';
CREATE INDEX user_standing_changed ON user_standing (changed_at);

-- Who a user is blocked by is asked when a direct conversation is opened or a view of one is made.
CREATE INDEX blocks_blocked ON blocks (blocked_id);

CREATE TABLE reports (
    id              uuid        PRIMARY KEY,
    reporter_id     uuid        NOT NULL,
    reported_id     uuid        NOT NULL,
    message_id      uuid,
    conversation_id uuid,
    reason          text        NOT NULL,
    details         text        NOT NULL DEFAULT '',
    state           text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'dismissed', 'acted')),
    created_at      timestamptz NOT NULL,
    closed_at       timestamptz
);
COMMENT ON TABLE reports IS 'What users have reported, for operators. What operators did about it is in audit.';
COMMENT ON COLUMN reports.reported_id IS 'The user who is reported, or who wrote the message that is.';
-- One open report of a reporter and a target.
CREATE UNIQUE INDEX reports_open_message ON reports (reporter_id, message_id)
    WHERE state = 'open' AND message_id IS NOT NULL;
CREATE UNIQUE INDEX reports_open_user ON reports (reporter_id, reported_id)
    WHERE state = 'open' AND message_id IS NULL;
CREATE INDEX reports_state ON reports (state, created_at, id);
CREATE INDEX reports_reporter ON reports (reporter_id, created_at);
CREATE INDEX reports_reported ON reports (reported_id);

CREATE TABLE report_evidence (
    report_id  uuid        NOT NULL REFERENCES reports ON DELETE CASCADE,
    message_id uuid        NOT NULL,
    seq        bigint      NOT NULL,
    sender_id  uuid        NOT NULL,
    type       text        NOT NULL,
    content    text        NOT NULL,
    metadata   text        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (report_id, seq)
);
COMMENT ON TABLE report_evidence IS
    'The reported message and those around it as they were when it was reported. Edits and deletions leave it alone; the
erasure of a user''s data takes what the user wrote.';
CREATE INDEX report_evidence_sender ON report_evidence (sender_id);

CREATE TABLE report_notes (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    report_id  uuid        NOT NULL REFERENCES reports ON DELETE CASCADE,
    operator   text        NOT NULL,
    note       text        NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE report_notes IS 'What operators wrote down about a report.';
CREATE INDEX report_notes_report ON report_notes (report_id, id);
