//! A server as a child process that cannot outlive this one.
//!
//! - A parent-death signal is bound to the *thread* that spawned the child, so each child has a thread that spawns
//!   it, waits for it, and ends with it.
//! - The child holds a lock file that it inherits; the kernel releases it when the last of its processes is
//!   gone. The next start waits for that instead of guessing from process ids.
//! - The child has a process group of its own: Ctrl-C reaches this process alone, which stops them in order.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::sync::{oneshot, watch};

use super::unix_user::UnixUser;

/// A log larger than this is set aside at the next start, so that a folder's logs stay under twice that.
const LOG_LIMIT: u64 = 16 << 20;

/// What to start and how.
#[derive(Debug)]
pub struct Spec {
    /// For people: "Postgres".
    pub name: &'static str,
    pub command: Command,
    /// Sent by the kernel when this process dies.
    pub on_parent_death: i32,
    /// Run as this user instead of the current one.
    pub user: Option<UnixUser>,
    /// Descriptors the child keeps, its lock among them.
    pub inherit: Vec<OwnedFd>,
    /// Where its output goes.
    pub log: PathBuf,
    /// The output that says that it serves; `None` for a program that does its work and ends.
    pub ready_when: Option<&'static str>,
    /// How long that may take.
    pub ready_within: Duration,
}

/// A running child.
#[derive(Debug)]
pub struct Child {
    name: &'static str,
    pid: u32,
    log: PathBuf,
    exit: Exit,
}

/// How a child ended.
#[derive(Debug, Clone)]
struct Ended {
    success: bool,
    /// Such as "exit status: 1".
    status: String,
}

/// Resolves when the child has ended.
#[derive(Debug, Clone)]
pub struct Exit(watch::Receiver<Option<Ended>>);

impl Exit {
    /// How it ended, such as "exit status: 1".
    pub async fn wait(self) -> String {
        self.ended().await.status
    }

    async fn ended(mut self) -> Ended {
        let ended = self.0.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        ended.unwrap_or(Ended { success: false, status: "its watcher has gone".to_owned() })
    }

    fn is_over(&self) -> bool {
        self.0.borrow().is_some()
    }
}

impl Child {
    /// Starts a child and waits until it is ready; `slot` holds it from the moment it runs, so that whoever
    /// gives up on waiting can still stop it. Answers with the output up to readiness.
    ///
    /// # Errors
    /// When it cannot be started, ends early, or is not ready in time; with the end of its output.
    pub async fn start(spec: Spec, slot: &mut Option<Child>) -> anyhow::Result<Vec<String>> {
        let (name, log, ready_within) = (spec.name, spec.log.clone(), spec.ready_within);
        let (started_tx, started) = oneshot::channel();
        let (exit_tx, exit) = watch::channel(None);
        let (ready_tx, ready) = oneshot::channel();
        thread::Builder::new()
            .name(format!("child {name}"))
            .spawn(move || run(spec, started_tx, ready_tx, &exit_tx))
            .context("No thread for a child process")?;
        let pid = started.await.context("The thread of a child process has gone")??;
        *slot = Some(Child { name, pid, log: log.clone(), exit: Exit(exit) });
        match tokio::time::timeout(ready_within, ready).await {
            Ok(Ok(Ok(lines))) => Ok(lines),
            Ok(Ok(Err(lines))) => Err(failed_to_start(name, &lines, &log)),
            Ok(Err(_)) => Err(anyhow!("{name} did not start; its log is {}.", log.display())),
            Err(_) => Err(anyhow!(
                "{name} was not ready within {} s; its log is {}.",
                ready_within.as_secs(),
                log.display()
            )),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    pub fn exit(&self) -> Exit {
        self.exit.clone()
    }

    /// Waits for a program that does its work and ends.
    ///
    /// # Errors
    /// When it did not succeed.
    pub async fn succeed(self) -> anyhow::Result<()> {
        let ended = self.exit.ended().await;
        if ended.success {
            return Ok(());
        }
        Err(anyhow!("{} failed ({}); its log is {}.", self.name, ended.status, self.log.display()))
    }

    /// Sends `signals` one after the other, each with its patience, until the child has ended.
    pub async fn stop(self, signals: &[(i32, Duration)]) {
        for (signal, patience) in signals {
            if self.exit.is_over() {
                return;
            }
            if let Ok(pid) = i32::try_from(self.pid) {
                // SAFETY: a plain system call. The child was not reaped yet, so the id is still its own.
                unsafe { libc::kill(pid, *signal) };
            }
            if tokio::time::timeout(*patience, self.exit.clone().wait()).await.is_ok() {
                return;
            }
            tracing::warn!(server = self.name, signal, "did not stop in time");
        }
    }
}

type Lines = Vec<String>;

/// The life of the thread that belongs to one child.
fn run(
    mut spec: Spec,
    started: oneshot::Sender<anyhow::Result<u32>>,
    ready: oneshot::Sender<Result<Lines, Lines>>,
    exit: &watch::Sender<Option<Ended>>,
) {
    let spawned = open_log(&spec.log)
        .with_context(|| format!("{} cannot be written", spec.log.display()))
        .and_then(|log| {
            let child = spawn(&mut spec).with_context(|| {
                format!("{} cannot be run", spec.command.get_program().to_string_lossy())
            })?;
            Ok((child, log))
        });
    let (mut child, log) = match spawned {
        Ok(spawned) => spawned,
        Err(error) => {
            // The receiver has gone only if the whole start was given up.
            let _ = started.send(Err(error));
            return;
        }
    };
    let _ = started.send(Ok(child.id()));
    // The child has its own copies; holding ours would keep its lock after its death.
    spec.inherit.clear();
    if let Some(output) = child.stderr.take() {
        follow(BufReader::new(output), log, spec.ready_when, ready);
    }
    let ended = match child.wait() {
        Ok(status) => Ended { success: status.success(), status: status.to_string() },
        Err(error) => Ended { success: false, status: error.to_string() },
    };
    exit.send_replace(Some(ended));
}

fn spawn(spec: &mut Spec) -> io::Result<std::process::Child> {
    let inherit: Vec<i32> = spec.inherit.iter().map(OwnedFd::as_raw_fd).collect();
    let (signal, parent) = (spec.on_parent_death, std::process::id());
    let command = &mut spec.command;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    if let Some(user) = spec.user {
        command.uid(user.uid).gid(user.gid);
    }
    // SAFETY: the closure makes system calls that are safe between fork and exec, and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            die_with(parent, signal)?;
            inherit.iter().try_for_each(|fd| keep_across_exec(*fd))
        });
    }
    command.spawn()
}

/// Ends the calling process with `signal` when its parent's thread dies. Runs after privileges were dropped,
/// because dropping them forgets the setting.
#[cfg(target_os = "linux")]
fn die_with(parent: u32, signal: i32) -> io::Result<()> {
    // SAFETY: plain system calls.
    let (set, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, signal), libc::getppid()) };
    match set {
        0 if u32::try_from(now) == Ok(parent) => Ok(()),
        // The parent died between fork and here, and nobody would tell us.
        0 => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Other systems have no such signal: after a `kill -9` the next start says what still runs.
#[cfg(not(target_os = "linux"))]
fn die_with(_parent: u32, _signal: i32) -> io::Result<()> {
    Ok(())
}

fn keep_across_exec(fd: i32) -> io::Result<()> {
    // SAFETY: a plain system call on a descriptor that the parent holds open.
    match unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Copies the output into the log until the child closes it, and reports readiness or the lack of it.
fn follow(
    output: impl io::BufRead,
    mut log: File,
    ready_when: Option<&str>,
    ready: oneshot::Sender<Result<Lines, Lines>>,
) {
    // Lines until readiness: a few dozen. Bounded all the same.
    const KEPT: usize = 500;
    let mut waiting = Some((ready, Vec::new()));
    for line in output.split(b'\n') {
        let Ok(line) = line else { break };
        // A full disk must not stop the reading, which would stop the server.
        let _ = log.write_all(&line).and_then(|()| log.write_all(b"\n"));
        let Some((ready, mut lines)) = waiting.take() else { continue };
        let text = String::from_utf8_lossy(&line).into_owned();
        let is_ready = ready_when.is_some_and(|sign| text.contains(sign));
        if lines.len() < KEPT {
            lines.push(text);
        }
        if is_ready {
            let _ = ready.send(Ok(lines));
        } else {
            waiting = Some((ready, lines));
        }
    }
    if let Some((ready, lines)) = waiting {
        let _ = ready.send(if ready_when.is_none() { Ok(lines) } else { Err(lines) });
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
        std::fs::rename(path, path.with_extension("old.log"))?;
    }
    File::options().create(true).append(true).open(path)
}

fn failed_to_start(name: &str, lines: &[String], log: &Path) -> anyhow::Error {
    let reason = lines
        .iter()
        .find(|line| line.contains("FATAL") || line.contains("[FTL]") || line.contains("error"))
        .or(lines.last())
        .map_or("it said nothing", String::as_str);
    anyhow!("{name} did not start: {}; its log is {}.", reason.trim(), log.display())
}

/// Opens `path` and takes its lock, waiting for whoever holds it.
///
/// # Errors
/// When it is not free within `patience`.
pub async fn lock(path: PathBuf, patience: Duration) -> io::Result<File> {
    let locking = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok(file)
    });
    match tokio::time::timeout(patience, locking).await {
        Ok(Ok(locked)) => locked,
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
