//! The servers' programs, and a place for what they write.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// The service under test.
pub const MESSAGING: &str = env!("CARGO_BIN_EXE_messaging");

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// As `make setup` leaves it: named, on PATH, or in `.tools`.
pub fn nats_server() -> PathBuf {
    if let Some(named) = std::env::var_os("MESSAGING_NATS_SERVER").filter(|name| !name.is_empty()) {
        return named.into();
    }
    let own = repository().join(".tools/nats-server");
    if own.is_file() { own } else { "nats-server".into() }
}

/// The folder of the newest Postgres' programs.
pub fn postgres_bin() -> PathBuf {
    let on_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let versions = |parent: &str| -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path().join("bin")).collect()
    };
    let folders: [Vec<PathBuf>; 4] = [
        versions("/usr/lib/postgresql"),
        versions("/opt/homebrew/opt"),
        versions("/usr/local/opt"),
        on_path,
    ];
    folders
        .into_iter()
        .flatten()
        .filter(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .max_by_key(|bin| major(&bin.join("postgres")))
        .expect("Postgres is installed; `make setup` brings it")
}

fn major(postgres: &Path) -> u32 {
    let output = Command::new(postgres).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = text.unwrap_or_default();
    let number = version.split_whitespace().nth(2).unwrap_or_default();
    number.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

/// A new empty folder, removed when the tests end. Short, because sockets lie in it.
pub fn folder(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = root().join(format!("{number}-{name}"));
    std::fs::create_dir(&folder).expect("a folder for a test");
    folder
}

/// Runs `work` when the tests end, in reverse order of registration; also after a failed test.
pub fn at_exit(work: impl FnOnce() + Send + 'static) {
    static WORK: Mutex<Vec<Box<dyn FnOnce() + Send>>> = Mutex::new(Vec::new());
    static REGISTERED: OnceLock<()> = OnceLock::new();
    extern "C" fn run() {
        while let Some(work) = WORK.lock().ok().and_then(|mut work| work.pop()) {
            work();
        }
    }
    REGISTERED.get_or_init(|| {
        // SAFETY: `run` lives as long as the program and does not unwind.
        unsafe { libc::atexit(run) };
    });
    WORK.lock().expect("no other registration panicked").push(Box::new(work));
}

/// One folder for all tests of this process; those of killed processes are swept.
fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        for entry in std::fs::read_dir("/tmp").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let pid = name.strip_prefix("messaging-it-").and_then(|pid| pid.parse().ok());
            if pid.is_some_and(|pid| !super::process::is_alive(pid)) {
                // Another process may be sweeping too, or it is another user's.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let root = PathBuf::from(format!("/tmp/messaging-it-{}", std::process::id()));
        std::fs::create_dir(&root).expect("a folder for the tests");
        let removed = root.clone();
        at_exit(move || {
            let _ = std::fs::remove_dir_all(removed);
        });
        root
    })
}
