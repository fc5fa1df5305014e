//! The users of the database, made by the script that the container of Postgres runs.

use std::path::Path;
use std::process::Command;

use crate::harness::World;
use crate::harness::node::command;
use crate::harness::tools::{postgres_bin, repository};

/// A connection as `user`, who needs no password on the socket of a test.
async fn connect(folder: &Path, user: &str) -> tokio_postgres::Client {
    let mut settings = tokio_postgres::Config::new();
    settings.host_path(folder).user(user).dbname("postgres");
    let (client, connection) =
        settings.connect(tokio_postgres::NoTls).await.expect("Postgres answers");
    tokio::spawn(async move {
        // Ends with the server, which this test kills.
        let _ = connection.await;
    });
    client
}

#[tokio::test]
async fn the_service_owns_its_database_and_is_no_superuser() {
    let world = World::with_own_postgres().await;
    let socket = world.database.server().socket();
    let folder = socket.parent().expect("a folder");
    // In the container the superuser is called `postgres`, and there is nobody else.
    let admin = "CREATE ROLE admin SUPERUSER LOGIN";
    world.database.client().await.batch_execute(admin).await.expect("a superuser");
    let admin = connect(folder, "admin").await;
    let renamed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'messaging'; \
                   ALTER ROLE messaging RENAME TO postgres";
    admin.batch_execute(renamed).await.expect("nobody else is connected");

    let paths = std::env::var("PATH").unwrap_or_default();
    let script = Command::new("bash")
        .arg(repository().join("config/postgres/users.sh"))
        .env("PATH", format!("{}:{paths}", postgres_bin().display()))
        .env("PGHOST", folder)
        .env("POSTGRES_USER", "postgres")
        .env("MESSAGING_PASSWORD", "s'1")
        .env("METRICS_PASSWORD", "m1")
        .output()
        .expect("bash runs");
    assert!(script.status.success(), "{}", String::from_utf8_lossy(&script.stderr));

    let host = folder.to_string_lossy().into_owned();
    let settings = world.settings(&[
        ("POSTGRES_URL", ""),
        ("POSTGRES_HOST", &host),
        ("POSTGRES_DB", "messaging"),
        ("POSTGRES_USER", "messaging"),
        ("POSTGRES_PASSWORD", "s'1"),
    ]);
    let migrated = command(&["migrate"], &settings).output().expect("messaging runs");
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));

    let roles = "SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles \
                 WHERE rolname IN ('messaging', 'metrics') ORDER BY rolname";
    let roles = admin.query(roles, &[]).await.expect("roles");
    let roles: Vec<(String, bool)> = roles.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(roles, [("messaging".to_owned(), false), ("metrics".to_owned(), false)]);
    // The database of the test cannot be dropped by a user that is no more.
    world.database.server().kill();
}
