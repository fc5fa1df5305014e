//! Child processes that end with the tests, whatever happens to these.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A running child, its output, and how it ended.
#[derive(Clone)]
pub struct Process {
    pub name: String,
    pub pid: i32,
    pub stdout: Output,
    pub stderr: Output,
    ended: Shared<Option<ExitStatus>>,
}

/// The lines a child has printed so far.
#[derive(Clone, Default)]
pub struct Output(Shared<Vec<String>>);

/// A value that threads wait on.
#[derive(Clone, Default)]
struct Shared<T>(Arc<(Mutex<T>, Condvar)>);

impl<T> Shared<T> {
    fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }

    /// What `look` finds, as soon as it finds something, or `None` when the time is over.
    fn wait<R>(&self, patience: Duration, mut look: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let deadline = Instant::now() + patience;
        let mut value = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = look(&value) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            (value, _) = self.0.1.wait_timeout(value, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Output {
    /// The first line in which `look` finds something.
    pub fn wait_for<R>(&self, patience: Duration, look: impl Fn(&str) -> Option<R>) -> Option<R> {
        self.0.wait(patience, |lines| lines.iter().find_map(|line| look(line)))
    }

    /// All lines so far.
    pub fn text(&self) -> String {
        self.0.wait(Duration::ZERO, |lines| Some(lines.join("\n"))).unwrap_or_default()
    }
}

impl Process {
    /// Starts `command`; `on_parent_death` is the signal it gets when the tests end without stopping it.
    pub fn start(name: &str, mut command: Command, on_parent_death: i32) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        die_with_parent(&mut command, on_parent_death);
        let (stdout, stderr) = (Output::default(), Output::default());
        let ended = Shared::<Option<ExitStatus>>::default();
        let (started, pid) = mpsc::channel();
        let watcher = (stdout.clone(), stderr.clone(), ended.clone());
        // The signal is bound to the thread that spawns, so this one stays until the child has ended.
        thread::spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => return started.send(Err(format!("{command:?}: {error}"))).unwrap(),
            };
            let (stdout, stderr, ended) = watcher;
            let readers = [
                child.stdout.take().map(|pipe| follow(pipe, stdout)),
                child.stderr.take().map(|pipe| follow(pipe, stderr)),
            ];
            started.send(Ok(child.id())).expect("the starter waits");
            let status = child.wait().expect("a child can be waited for");
            for reader in readers.into_iter().flatten() {
                reader.join().expect("a reader does not panic");
            }
            ended.change(|ended| *ended = Some(status));
        });
        let pid = pid.recv().expect("the spawner answers").expect("the program starts");
        let pid = i32::try_from(pid).expect("process ids are positive");
        Self { name: name.to_owned(), pid, stdout, stderr, ended }
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: i32) {
        if self.has_ended().is_none() {
            // SAFETY: a plain system call on a child that was not reaped yet.
            unsafe { libc::kill(self.pid, signal) };
        }
    }

    /// Stops it where it is. The signal alone returns before every thread has taken notice.
    pub fn freeze(&self) {
        self.signal(libc::SIGSTOP);
        let deadline = Instant::now() + PATIENCE;
        while !is_frozen(self.pid) {
            assert!(Instant::now() < deadline, "{} does not freeze", self.name);
            thread::yield_now();
        }
    }

    /// How it ended, if it has.
    pub fn has_ended(&self) -> Option<ExitStatus> {
        self.ended.wait(Duration::ZERO, |ended| *ended)
    }

    /// Waits for its end; `None` when it does not come in time.
    pub fn wait(&self, patience: Duration) -> Option<ExitStatus> {
        self.ended.wait(patience, |ended| *ended)
    }

    /// The same, without stopping the other tasks of the test.
    pub async fn ended(&self) -> ExitStatus {
        let process = self.clone();
        let name = self.name.clone();
        tokio::task::spawn_blocking(move || process.wait(PATIENCE))
            .await
            .expect("waiting does not panic")
            .unwrap_or_else(|| panic!("{name} does not end; it said:\n{}", self.stderr.text()))
    }

    /// Stops it with `signal`, by force if that does not help, and says how it ended.
    pub fn stop(&self, signal: i32) -> ExitStatus {
        self.signal(signal);
        self.wait(PATIENCE).unwrap_or_else(|| {
            self.signal(libc::SIGKILL);
            self.wait(PATIENCE).unwrap_or_else(|| ExitStatus::from_raw(libc::SIGKILL))
        })
    }
}

fn follow(pipe: impl std::io::Read + Send + 'static, output: Output) -> thread::JoinHandle<()> {
    use std::io::BufRead as _;
    thread::spawn(move || {
        for line in std::io::BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            output.0.change(|lines| lines.push(String::from_utf8_lossy(&line).into_owned()));
        }
    })
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command, signal: i32) {
    // SAFETY: the closure makes one system call that is safe between fork and exec.
    unsafe {
        command.pre_exec(move || match libc::prctl(libc::PR_SET_PDEATHSIG, signal) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command, _signal: i32) {}

/// Have all threads stopped? Where the system cannot say, they are taken to have.
fn is_frozen(pid: i32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with(['T', 'Z', 'X']))
    })
}

/// Whether a process is there and not merely waiting to be reaped.
pub fn is_alive(pid: i32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        // SAFETY: signal 0 only asks.
        Err(_) => !cfg!(target_os = "linux") && unsafe { libc::kill(pid, 0) } == 0,
    }
}
