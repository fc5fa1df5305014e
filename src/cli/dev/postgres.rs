//! The Postgres of a data folder: on a unix socket only, durable, and never as root.
//!
//! As root, Postgres runs as an unprivileged user who may not be able to reach the data folder (`/root` is
//! closed to others). On Linux it is therefore handed its folders as open descriptors and names them
//! `/proc/self/fd/…`: only the folders themselves must be its own, not the way to them.

use std::fs::{DirBuilder, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::child::{self, Child, Spec};
use super::folder::Folder;
use super::tools::{self, PostgresTools};
use super::unix_user::{self, UnixUser};

/// The superuser; the socket's folder is closed to everyone else, so there is no password.
const NAME: &str = "messaging";
/// The one that initdb makes. The server is ours alone, so nobody else needs it.
const DATABASE: &str = "postgres";
/// `sun_path` holds 104 bytes on macOS, 108 on Linux; the socket's own name takes 18 more.
const LONGEST_SOCKET_FOLDER: usize = 84;
/// Recovery after a crash replays at most `max_wal_size`.
const READY_WITHIN: Duration = Duration::from_secs(180);
const INITDB_WITHIN: Duration = Duration::from_secs(180);
/// After a `kill -9` of its parent the old server ends its processes.
const LEAVES_WITHIN: Duration = Duration::from_secs(20);

const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    // Enough for the pages a laptop's data has hot; the operating system caches the rest.
    "shared_buffers=128MB",
    "max_connections=100",
    // What was committed is on disk, as in production.
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    // When each message was written, for `messaging admin explain`: 10 bytes a transaction, and those are batches.
    "track_commit_timestamp=on",
    // Checkpoints seldom and slowly, so that they do not show up as latency; recovery stays within a minute.
    "max_wal_size=1GB",
    "min_wal_size=128MB",
    "checkpoint_timeout=10min",
    "checkpoint_completion_target=0.9",
    "wal_compression=on",
    "random_page_cost=1.1",
    "lc_messages=C",
    "log_timezone=UTC",
    "timezone=UTC",
];

/// Where it is.
#[derive(Debug)]
pub struct Postgres {
    pub pid: u32,
    pub url: String,
}

/// The folders and who owns them.
struct Place {
    data: PathBuf,
    sockets: PathBuf,
    user: Option<UnixUser>,
    lock: File,
}

/// Starts it on the folder's data, which is made on first use.
pub async fn start(folder: &Folder, slot: &mut Option<Child>) -> anyhow::Result<Postgres> {
    let home = folder.make("postgres")?;
    let data = home.join("data");
    let major = data_version(&data)?;
    let tools = tools::postgres(major)?;
    let user = unix_user::for_postgres(&data).context("Postgres cannot be run")?;
    check_owner(&data, user)?;
    let lock = child::lock(folder.path().join("postgres.lock"), LEAVES_WITHIN)
        .await
        .context("The Postgres of an earlier run still uses this data folder")?;
    let sockets = socket_folder(&home, user)?;
    let place = Place { data, sockets, user, lock };
    if major.is_none() {
        eprintln!("Creating the Postgres {} database in {} …", tools.major, home.display());
        initialise(folder, &tools, &place, slot).await?;
    }
    run(folder, &tools, &place, slot).await?;
    let pid = slot.as_ref().map_or(0, Child::pid);
    let host = utf8_percent_encode(&place.sockets.to_string_lossy(), NON_ALPHANUMERIC).to_string();
    Ok(Postgres { pid, url: format!("postgres://{NAME}@{host}:5432/{DATABASE}") })
}

/// Stops it: fast (clients are cut off, everything is written), then at once, then by force.
pub async fn stop(child: Child) {
    let second = Duration::from_secs(1);
    child
        .stop(&[
            (libc::SIGINT, 15 * second),
            (libc::SIGQUIT, 8 * second),
            (libc::SIGKILL, 5 * second),
        ])
        .await;
}

async fn run(
    folder: &Folder,
    tools: &PostgresTools,
    place: &Place,
    slot: &mut Option<Child>,
) -> anyhow::Result<()> {
    let mut handed = Handed::new(place)?;
    let data = handed.hand(&place.data)?;
    let sockets = handed.hand(&place.sockets)?;
    let mut command = Command::new(tools.bin.join("postgres"));
    command.arg("-D").arg(data);
    command.arg("-c").arg(format!("unix_socket_directories={}", sockets.display()));
    for setting in SETTINGS {
        command.arg("-c").arg(setting);
    }
    let spec = Spec {
        name: "Postgres",
        command: in_plain_surroundings(command),
        // At once, not in order: the parent's end was not in order either, and the log is replayed.
        on_parent_death: libc::SIGQUIT,
        user: place.user,
        inherit: handed.descriptors,
        log: folder.log("postgres.log"),
        ready_when: Some("database system is ready to accept connections"),
        ready_within: READY_WITHIN,
    };
    Child::start(spec, slot).await?;
    Ok(())
}

/// Makes the database beside its place and moves it there when it is complete, so that an interrupted
/// start leaves nothing half made.
async fn initialise(
    folder: &Folder,
    tools: &PostgresTools,
    place: &Place,
    slot: &mut Option<Child>,
) -> anyhow::Result<()> {
    let unfinished = place.data.with_extension("new");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished)
            .with_context(|| format!("{} cannot be removed", unfinished.display()))?;
    }
    make_for(&unfinished, place.user)?;
    let mut handed = Handed::new(place)?;
    let mut command = Command::new(tools.bin.join("initdb"));
    command
        .arg("-D")
        .arg(handed.hand(&unfinished)?)
        .args(["--username", NAME, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"])
        .arg("--no-instructions");
    let spec = Spec {
        name: "initdb",
        command: in_plain_surroundings(command),
        on_parent_death: libc::SIGKILL,
        user: place.user,
        inherit: handed.descriptors,
        log: folder.log("initdb.log"),
        ready_when: None,
        ready_within: INITDB_WITHIN,
    };
    Child::start(spec, slot).await?;
    if let Some(initdb) = slot.take() {
        initdb.succeed().await?;
    }
    std::fs::rename(&unfinished, &place.data)
        .with_context(|| format!("{} cannot be moved into place", unfinished.display()))
}

/// Folders on their way into a child, together with its lock.
struct Handed {
    descriptors: Vec<OwnedFd>,
    by_descriptor: bool,
}

impl Handed {
    fn new(place: &Place) -> anyhow::Result<Self> {
        let lock = place.lock.try_clone().context("A lock cannot be handed on")?;
        let by_descriptor = cfg!(target_os = "linux") && place.user.is_some();
        Ok(Self { descriptors: vec![OwnedFd::from(lock)], by_descriptor })
    }

    /// The name under which the child reaches `folder`.
    fn hand(&mut self, folder: &Path) -> anyhow::Result<PathBuf> {
        if !self.by_descriptor {
            return Ok(folder.to_owned());
        }
        let opened =
            File::open(folder).with_context(|| format!("{} cannot be opened", folder.display()))?;
        let name = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
        self.descriptors.push(OwnedFd::from(opened));
        Ok(name)
    }
}

/// Without the caller's working folder (closed to the other user, perhaps), language and PG… variables.
fn in_plain_surroundings(mut command: Command) -> Command {
    command.current_dir("/").env("LC_ALL", "C");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"PG")) {
        command.env_remove(name);
    }
    command
}

/// The major version of existing data; `None` when there is none yet.
fn data_version(data: &Path) -> anyhow::Result<Option<u32>> {
    if !data.try_exists().with_context(|| format!("{} cannot be read", data.display()))? {
        return Ok(None);
    }
    let version = std::fs::read_to_string(data.join("PG_VERSION"))
        .ok()
        .and_then(|text| text.trim().parse().ok());
    match version {
        Some(major) => Ok(Some(major)),
        None => bail!(
            "The database in {} is damaged: it does not say its version. Restore it, or move the folder away \
             to start with an empty one.",
            data.display()
        ),
    }
}

fn check_owner(data: &Path, user: Option<UnixUser>) -> anyhow::Result<()> {
    let Ok(metadata) = std::fs::metadata(data) else { return Ok(()) };
    let runs_as = user.map_or_else(unix_user::current, |user| user.uid);
    if metadata.uid() != runs_as {
        bail!(
            "The database in {} belongs to user id {}, but this runs as user id {runs_as}; start as its owner, \
             or choose another folder with --data.",
            data.display(),
            metadata.uid()
        );
    }
    Ok(())
}

/// Where the socket lies: in the data folder if its path is short enough for a socket's address, else in
/// a private folder of /tmp whose name follows from the data folder's.
fn socket_folder(home: &Path, user: Option<UnixUser>) -> anyhow::Result<PathBuf> {
    let inside = home.join("run");
    let folder =
        if inside.as_os_str().len() <= LONGEST_SOCKET_FOLDER { inside } else { temporary(home) };
    make_for(&folder, user)?;
    let metadata = std::fs::symlink_metadata(&folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    let owner = user.map_or_else(unix_user::current, |user| user.uid);
    if !metadata.is_dir() || metadata.uid() != owner || metadata.mode() & 0o077 != 0 {
        bail!("{} is not a private folder of user id {owner}; remove it.", folder.display());
    }
    Ok(folder)
}

fn temporary(home: &Path) -> PathBuf {
    use std::hash::{Hash as _, Hasher as _};
    let mut hasher = std::hash::DefaultHasher::new();
    home.hash(&mut hasher);
    PathBuf::from(format!("/tmp/messaging-{}-{:016x}", unix_user::current(), hasher.finish()))
}

/// Removes the socket's folder if it lay outside of the data folder.
pub fn clean_up(folder: &Folder) {
    let temporary = temporary(&folder.path().join("postgres"));
    if temporary.is_dir()
        && let Err(error) = std::fs::remove_dir_all(&temporary)
    {
        tracing::warn!(%error, folder = %temporary.display(), "cannot be removed");
    }
}

/// A folder that only `user` may enter.
fn make_for(path: &Path, user: Option<UnixUser>) -> anyhow::Result<()> {
    let made =
        DirBuilder::new().recursive(true).mode(0o700).create(path).and_then(|()| match user {
            Some(user) => std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        });
    made.with_context(|| format!("{} cannot be made", path.display()))
}
