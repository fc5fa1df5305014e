#!/bin/bash
# Runs once, when the database is made (`docker-compose.yml`, `postgres`). The service owns its database and nothing else,
# and is no superuser; the exporter of the metrics may look at statistics.
set -euo pipefail
psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 \
    --set service="$MESSAGING_PASSWORD" --set metrics="$METRICS_PASSWORD" <<'SQL'
CREATE ROLE messaging LOGIN PASSWORD :'service';
CREATE ROLE metrics LOGIN PASSWORD :'metrics' CONNECTION LIMIT 5 IN ROLE pg_monitor;
CREATE DATABASE messaging OWNER messaging;
REVOKE CONNECT ON DATABASE messaging FROM PUBLIC;
GRANT CONNECT ON DATABASE messaging TO metrics;
SQL
