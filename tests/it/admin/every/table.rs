//! Every command, with what it is given and what it cannot do without.

use Kind::{Changes, Examines, Shows};

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answers; with `--json`, as JSON.
    Shows,
    /// Says what is wrong, goes on when something is away, and ends with 1.
    Examines,
    /// Changes something; with `--dry-run`, nothing.
    Changes,
}

/// A command as somebody types it. `{user}` and the like stand for what is there.
#[derive(Debug)]
pub struct Row {
    pub line: &'static str,
    pub kind: Kind,
    /// What it is refused with when what it names is not there; nothing where that makes no difference.
    pub unknown: &'static str,
    pub postgres: bool,
    pub nats: bool,
    /// The streams too.
    pub streams: bool,
}

const fn row(kind: Kind, needs: &'static str, line: &'static str, unknown: &'static str) -> Row {
    let needs = needs.as_bytes();
    let (mut postgres, mut nats, mut streams, mut at) = (false, false, false, 0);
    while at < needs.len() {
        match needs[at] {
            b'p' => postgres = true,
            b'n' => nats = true,
            b's' => streams = true,
            b' ' => {}
            _ => panic!("p, n, s: Postgres, NATS, streams"),
        }
        at += 1;
    }
    Row { line, kind, unknown, postgres, nats, streams }
}

const NO_CONVERSATION: &str = "There is no conversation";
const NO_USER: &str = "There is no user";
const NO_MESSAGE: &str = "no message";
const NO_REPORT: &str = "There is no report";
const NO_LETTER: &str = "There is no dead letter";

/// A command that is not here fails a test: it has to be thought of what it says on a bad day.
pub const TABLE: &[Row] = &[
    row(Shows, "p", "audit", ""),
    row(Shows, "p", "audit --target {user}", ""),
    row(Changes, "pns", "backup {new}", ""),
    row(Examines, "pn", "doctor", ""),
    row(Shows, "pns", "explain {message}", NO_MESSAGE),
    row(Changes, "pn", "restore {backup}", "is no backup"),
    row(Shows, "p", "conversation list", ""),
    row(Shows, "p", "conversation list --user {user}", NO_USER),
    row(Shows, "p", "conversation show {conversation}", NO_CONVERSATION),
    row(
        Changes,
        "p",
        "conversation create --type group --creator {user} --with {other} --title x",
        "",
    ),
    row(Changes, "p", "conversation update {conversation} --title x", NO_CONVERSATION),
    row(Shows, "p", "conversation participants {conversation}", NO_CONVERSATION),
    row(Changes, "p", "conversation participants {conversation} --remove {other}", NO_CONVERSATION),
    row(Changes, "p", "conversation export {conversation}", NO_CONVERSATION),
    row(Changes, "p", "conversation export {conversation} --out {new}", NO_CONVERSATION),
    row(Changes, "p", "conversation archive {conversation}", NO_CONVERSATION),
    row(Changes, "p", "conversation hold {conversation}", NO_CONVERSATION),
    row(Changes, "pns", "conversation delete {conversation}", NO_CONVERSATION),
    row(Shows, "ns", "dead list", ""),
    row(Shows, "ns", "dead show {letter}", NO_LETTER),
    row(Changes, "pns", "dead retry {letter}", NO_LETTER),
    row(Changes, "pns", "dead drop {letter}", NO_LETTER),
    row(Shows, "p", "message show {message}", NO_MESSAGE),
    row(Changes, "p", "message delete {message}", NO_MESSAGE),
    row(Changes, "pn", "message send-system --user {user} Hello", ""),
    row(Changes, "p", "push test {user}", NO_USER),
    row(Examines, "pns", "status", ""),
    row(Shows, "pn", "tail --user {user}", NO_USER),
    row(Shows, "pn", "tail --conversation {conversation}", NO_CONVERSATION),
    row(Shows, "p", "search status", ""),
    row(Changes, "p", "search rebuild", ""),
    row(Shows, "p", "report list", ""),
    row(Shows, "p", "report list --against {other}", NO_USER),
    row(Shows, "p", "report show {report}", NO_REPORT),
    row(Changes, "p", "report dismiss {report}", NO_REPORT),
    row(Changes, "p", "report delete-message {report}", NO_REPORT),
    row(Changes, "p", "report suspend {report}", NO_REPORT),
    row(Changes, "p", "report ban {report}", NO_REPORT),
    row(Changes, "p", "report note {report} rude", NO_REPORT),
    row(Changes, "pn", "topology apply", ""),
    row(Examines, "n", "topology show", ""),
    row(Shows, "p", "user list", ""),
    row(Shows, "p", "user show {user}", NO_USER),
    row(Changes, "p", "user export {user} --out {new}", NO_USER),
    row(Changes, "p", "user erase {user}", NO_USER),
    row(Examines, "pns", "user verify-erased {user}", ""),
    row(Changes, "p", "user suspend {user}", NO_USER),
    row(Changes, "p", "user ban {user}", NO_USER),
    row(Changes, "p", "user restore {user}", NO_USER),
    row(Changes, "pn", "user disconnect {user}", NO_USER),
    row(Shows, "pns", "verify --no-objects", ""),
    row(Shows, "pns", "verify --conversation {conversation} --no-objects", NO_CONVERSATION),
    row(Changes, "pns", "verify --repair --no-objects", ""),
];
