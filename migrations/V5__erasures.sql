-- Deleted content must leave the log as well. The deletion commits here first; erasing from the log follows, and
-- what a crash interrupts is found again in this table.

CREATE TABLE erasures (
    seq bigint PRIMARY KEY
);
COMMENT ON TABLE erasures IS
    'Stream sequences whose content is deleted and still has to be erased from the log.';
