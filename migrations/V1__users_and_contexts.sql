-- People and what conversations are about. Both belong to other services; what is kept here is the
-- copy that lists and previews need, so that showing a conversation never waits for another service.

CREATE TABLE users (
    id           uuid PRIMARY KEY,
    display_name text,
    avatar_url   text,
    last_seen_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE users IS
    'A row per id that was ever used. It starts as a stub; tokens and the user service fill it.';

CREATE TABLE contexts (
    type       text        NOT NULL CHECK (type IN ('event', 'business', 'listing', 'general')),
    id         uuid        NOT NULL,
    title      text,
    owner_id   uuid,
    image_url  text,
    url        text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (type, id)
);
COMMENT ON TABLE contexts IS 'Events, businesses and listings as the service that owns them last described them.';
COMMENT ON COLUMN contexts.owner_id IS
    'Once set it is binding: nobody opens a conversation about this with another person as its owner.';
