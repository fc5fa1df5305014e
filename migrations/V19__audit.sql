-- What operators have changed. A row is written in the transaction of the change, so there is none without the other.

CREATE TABLE audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    operator text        NOT NULL,
    action   text        NOT NULL,
    target   text        NOT NULL,
    reason   text
);
COMMENT ON TABLE audit IS 'Who changed what by the command line, and why. Nothing of the service updates or deletes a row.';
COMMENT ON COLUMN audit.operator IS 'As the command was told, or the name of the account it ran under.';
COMMENT ON COLUMN audit.target IS 'The id of what was changed; never content or a name.';
CREATE INDEX audit_target ON audit (target, id);
