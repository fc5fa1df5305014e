//! This machine: limits of the process, and room on its disks.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::config::{Config, Place};

use super::{Findings, Level};

/// A connection is a file; so many of them and some thousand more are what a node is made for.
const FILES: u64 = 65_536;
/// Threads: two for each core, those that wait for disks, and room.
const PROCESSES: u64 = 1_024;
/// Bytes that should be free where files are written.
const ROOM: u64 = 5 << 30;
const LITTLE_ROOM: u64 = 500 << 20;

/// Looks at it.
pub fn look(config: &Config, findings: &mut Findings) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let files = limit.unwrap_or(u64::MAX);
    findings.check(
        "limits",
        files >= FILES,
        format!("ulimit -n is {}", limit.map_or("unlimited".to_owned(), |files| files.to_string())),
        if files < 4_096 { Level::Problem } else { Level::Warning },
        "Each connection takes a file: raise it to 65536 or more (LimitNOFILE= in systemd, ulimits: in compose).",
    );
    match read_number(Path::new("/sys/fs/cgroup/pids.max")) {
        Some(pids) => findings.check(
            "limits",
            pids >= PROCESSES,
            format!("{pids} processes and threads are allowed here"),
            Level::Warning,
            "Allow at least 1024 (pids_limit, TasksMax=).",
        ),
        None => findings.fine("limits", "no limit on processes and threads is set here"),
    }
    for (what, folder) in folders(config) {
        room(what, &folder, findings);
    }
}

/// Where this process writes.
fn folders(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut folders = Vec::new();
    let Ok(Some(place)) = config.media.place() else { return folders };
    let spool = &config.media.spool;
    let spool = if spool.as_os_str().is_empty() { std::env::temp_dir() } else { spool.clone() };
    folders.push(("the spool of uploads", spool));
    if let Place::Folder(folder) = place {
        folders.push(("the files", folder));
    }
    folders
}

fn room(what: &str, folder: &Path, findings: &mut Findings) {
    // One that is made at the first start lies where its nearest ancestor lies.
    let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    match free(there) {
        None => findings.add(
            "disk",
            Level::Unknown,
            format!("the room for {what} in {} is unknown", folder.display()),
            "",
        ),
        Some(bytes) => findings.check(
            "disk",
            bytes >= ROOM,
            format!("{} MiB are free for {what} in {}", bytes >> 20, folder.display()),
            if bytes < LITTLE_ROOM { Level::Problem } else { Level::Warning },
            "Uploads are refused when it is full: make room, or name another folder.",
        ),
    }
}

fn free(folder: &Path) -> Option<u64> {
    let path = CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: the path ends in a zero, and the answer is written into a struct of the right type.
    let stat = unsafe {
        let mut stat = std::mem::zeroed::<libc::statvfs>();
        (libc::statvfs(path.as_ptr(), &raw mut stat) == 0).then_some(stat)
    }?;
    #[cfg_attr(
        target_os = "linux",
        expect(clippy::useless_conversion, reason = "these have 32 bits on other systems")
    )]
    Some(u64::from(stat.f_bavail).saturating_mul(u64::from(stat.f_frsize)))
}

/// `max` and what cannot be read are no limit.
fn read_number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
