-- Where notifications go, and what people want of them.

CREATE TABLE devices (
    id           uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid        NOT NULL,
    platform     text        NOT NULL CHECK (platform IN ('android', 'ios', 'web')),
    token        text        NOT NULL,
    token_hash   bytea       NOT NULL UNIQUE,
    created_at   timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL
);
COMMENT ON TABLE devices IS 'A row for each app that can be notified. A token belongs to one user: whoever registered it last.';
COMMENT ON COLUMN devices.id IS
    'A new one when the token moves to another user, so that nothing meant for the first reaches the second.';
COMMENT ON COLUMN devices.token_hash IS 'SHA-256 of the token, which may be longer than an index entry can be.';

CREATE INDEX devices_user ON devices (user_id, refreshed_at);

CREATE TABLE notification_settings (
    user_id              uuid        PRIMARY KEY,
    quiet_from           time,
    quiet_to             time,
    quiet_zone           text,
    mentions_pierce_mute boolean     NOT NULL,
    updated_at           timestamptz NOT NULL,
    CHECK (num_nulls(quiet_from, quiet_to, quiet_zone) IN (0, 3))
);
COMMENT ON TABLE notification_settings IS 'Only of those who have changed something; the defaults are in the program.';
COMMENT ON COLUMN notification_settings.quiet_zone IS 'A name of the IANA time zone database; from and to are on its clock.';
