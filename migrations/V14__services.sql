-- What other services say of people and of what conversations are about. It may come late, twice, or by way of a dead
-- letter that is replayed a week after: what was said last counts, whenever it arrives.

ALTER TABLE users ADD COLUMN told_at timestamptz;
COMMENT ON COLUMN users.told_at IS
    'When the service that this profile comes from said so; what was said earlier changes nothing. Tokens leave it.';

ALTER TABLE contexts
    ADD COLUMN told_at    timestamptz,
    ADD COLUMN told_by    uuid,
    ADD COLUMN announcing uuid;
COMMENT ON COLUMN contexts.told_at IS 'When its service said so; what was said earlier changes nothing.';
COMMENT ON COLUMN contexts.told_by IS 'The service that said so, as a sender.';
COMMENT ON COLUMN contexts.announcing IS
    'The last conversation that was told of the latest change, while others still have to be told.';

-- Almost always empty: those whose change is still being told.
CREATE INDEX contexts_announcing ON contexts (type, id) WHERE announcing IS NOT NULL;
