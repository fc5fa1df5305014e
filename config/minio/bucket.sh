# Makes MinIO's bucket and the user of the edges; run once more, it changes nothing. (`docker-compose.yml`, `bucket`)
# Incomplete uploads need no rule of the bucket: MinIO removes them by itself after a day.
set -eu
mc alias set store http://minio:9000 "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD" >/dev/null
mc mb --ignore-existing store/messaging
mc anonymous set none store/messaging
mc admin user add store "$MINIO_ACCESS_KEY" "$MINIO_SECRET_KEY"
mc admin policy create store messaging /etc/messaging/policy.json
# Attaching what is attached is an error of its own.
mc admin policy attach store messaging --user "$MINIO_ACCESS_KEY" ||
    mc admin policy entities store --user "$MINIO_ACCESS_KEY" | grep -q messaging
