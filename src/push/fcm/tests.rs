//! The client against a server that does what a test tells it to, on a socket.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use uuid::Uuid;

use super::*;
use crate::domain::clock::Clock;
use crate::domain::device::Platform;
use crate::push::notification::{Kind, Sound};

/// What the server does with a request.
enum Reply {
    /// Status, further headers, body.
    Answer(u16, &'static str, String),
    /// Nothing, for as long as the client stays.
    Hang,
    /// A body without an end.
    Endless,
}

fn ok(body: &str) -> Reply {
    Reply::Answer(200, "", body.to_owned())
}

fn accepted() -> Reply {
    ok(r#"{"name": "projects/p/messages/1"}"#)
}

fn token(name: &str) -> Reply {
    ok(&format!(r#"{{"access_token": "{name}", "expires_in": 3600, "token_type": "Bearer"}}"#))
}

/// A server, and how often each of its two routes was asked.
struct Server {
    url: String,
    tokens: Arc<AtomicUsize>,
    messages: Arc<AtomicUsize>,
}

/// Answers token requests and messages by these; both get the number of the request, from 1, and the second the
/// request's head.
fn server(
    for_tokens: impl Fn(usize) -> Reply + Send + Sync + 'static,
    for_messages: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (tokens, messages) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (tokens.clone(), messages.clone());
    let answers = Arc::new((for_tokens, for_messages));
    // The thread waits for connections until the tests end.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answers, counts) = (answers.clone(), counts.clone());
            thread::spawn(move || {
                let (stream, head) = request(stream);
                let reply = if head.starts_with("POST /token ") {
                    answers.0(counts.0.fetch_add(1, SeqCst) + 1)
                } else {
                    answers.1(counts.1.fetch_add(1, SeqCst) + 1, &head)
                };
                respond(stream, reply);
            });
        }
    });
    Server { url, tokens, messages }
}

/// Reads a request with its body and returns its head.
fn request(mut stream: TcpStream) -> (TcpStream, String) {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return (stream, head.to_owned());
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return (stream, String::new()),
            Ok(n) => read.extend_from_slice(&buffer[..n]),
        }
    }
}

/// The client may hang up at any time, which is what some tests are about.
fn respond(mut stream: TcpStream, reply: Reply) {
    let head =
        |status: u16, more: &str| format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{more}");
    match reply {
        Reply::Answer(status, more, body) => {
            let head = head(status, more);
            let length = body.len();
            let _ = write!(stream, "{head}content-length: {length}\r\n\r\n{body}");
        }
        Reply::Hang => {
            // Returns when the client has gone.
            let _ = stream.read(&mut [0]);
        }
        Reply::Endless => {
            let _ = write!(stream, "{}\r\n", head(200, ""));
            while stream.write_all(&[b' '; 4096]).is_ok() {}
        }
    }
}

/// A clock that is set.
struct Wall(Mutex<Timestamp>);

impl Wall {
    fn advance(&self, by: SignedDuration) {
        *self.0.lock() += by;
    }
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

fn client(server: &Server, timeout: Duration) -> (Fcm, Arc<Wall>) {
    let (_, pem) = credentials::tests::key();
    let token_url = format!("{}/token", server.url);
    let account = ServiceAccount::new("p", "e@p", &pem, Some(&token_url)).expect("an account");
    let look = Look {
        ttl: Duration::from_secs(60),
        channel: "c".into(),
        quiet_channel: "q".into(),
        web_icon: String::new(),
        web_link: String::new(),
    };
    let url = server.url.clone();
    let settings = Settings { account, url, request_timeout: timeout, look, concurrency: 8 };
    let wall = Arc::new(Wall(Mutex::new(Timestamp::UNIX_EPOCH)));
    (Fcm::new(settings, wall.clone()).expect("a client"), wall)
}

/// Longer than anything takes that is meant to succeed.
const PATIENT: Duration = Duration::from_secs(20);

async fn send(fcm: &Fcm) -> Outcome {
    let user_id = Uuid::from_u128(1);
    let device = Device { user_id, platform: Platform::Android, token: "tok".into() };
    let kind = Kind::Show { title: "Ada".into(), body: "Hi".into(), sound: Sound::Normal };
    let (conversation, message) = (Uuid::from_u128(2), Uuid::from_u128(3));
    fcm.send(&device, &Notification { user: user_id, conversation, message, kind, badge: 1 }).await
}

fn retry(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn many_at_once_share_one_access_token() {
    let server = server(
        |_| token("t1"),
        |_, head| {
            let admitted = head.to_lowercase().contains("authorization: bearer t1");
            if admitted { accepted() } else { Reply::Answer(401, "", String::new()) }
        },
    );
    let (fcm, _) = client(&server, PATIENT);
    let sent = join_all((0..20).map(|_| send(&fcm))).await;
    assert!(sent.iter().all(|outcome| *outcome == Outcome::Sent), "{sent:?}");
    assert_eq!((server.tokens.load(SeqCst), server.messages.load(SeqCst)), (1, 20));
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_and_an_outage_then_delays_nobody() {
    let server = server(
        |n| match n {
            2 => Reply::Answer(503, "", "<html>".into()),
            n => token(&format!("t{n}")),
        },
        |_, _| accepted(),
    );
    let (fcm, wall) = client(&server, PATIENT);
    assert_eq!(send(&fcm).await, Outcome::Sent);
    wall.advance(SignedDuration::from_mins(54));
    assert_eq!(send(&fcm).await, Outcome::Sent);
    assert_eq!(server.tokens.load(SeqCst), 1);
    wall.advance(SignedDuration::from_mins(2));
    // The token server is down, and the old token is still good.
    assert_eq!(send(&fcm).await, Outcome::Sent);
    assert_eq!(server.tokens.load(SeqCst), 2);
    wall.advance(SignedDuration::from_secs(2));
    assert_eq!(send(&fcm).await, Outcome::Sent);
    assert_eq!(server.tokens.load(SeqCst), 3);
    // The new one is good for an hour from then on.
    wall.advance(SignedDuration::from_mins(30));
    assert_eq!(send(&fcm).await, Outcome::Sent);
    assert_eq!(server.tokens.load(SeqCst), 3);
}

#[tokio::test]
async fn refused_credentials_say_so_and_are_asked_about_once_for_all_who_wait() {
    let refusal = r#"{"error": "invalid_grant", "error_description": "secret words"}"#;
    let server = server(move |_| Reply::Answer(400, "", refusal.to_owned()), |_, _| accepted());
    let (fcm, wall) = client(&server, PATIENT);
    for outcome in join_all((0..10).map(|_| send(&fcm))).await {
        let Outcome::Credentials { reason } = outcome else { panic!("{outcome:?}") };
        assert_eq!(reason, "the token server refuses the credentials (invalid_grant)");
    }
    assert_eq!((server.tokens.load(SeqCst), server.messages.load(SeqCst)), (1, 0));
    wall.advance(SignedDuration::from_secs(2));
    assert!(fcm.check().await.is_err());
    assert_eq!(server.tokens.load(SeqCst), 2);
}

#[tokio::test]
async fn a_token_server_that_is_away_or_talks_nonsense_is_no_refusal() {
    let server = server(
        |n| match n {
            1 => Reply::Answer(502, "retry-after: 7\r\n", "<html>".into()),
            2 => Reply::Answer(403, "", "<html>blocked by a proxy".into()),
            3 => ok("[]"),
            4 => ok(r#"{"access_token": "a\nb"}"#),
            _ => token("t"),
        },
        |_, _| accepted(),
    );
    let (fcm, wall) = client(&server, PATIENT);
    let first = send(&fcm).await;
    assert!(matches!(first, Outcome::Retry { after: Some(after), .. } if after.as_secs() == 7));
    for _ in 0..3 {
        wall.advance(SignedDuration::from_secs(2));
        retry(&send(&fcm).await);
    }
    wall.advance(SignedDuration::from_secs(2));
    assert_eq!(send(&fcm).await, Outcome::Sent);
}

#[tokio::test]
async fn an_access_token_that_is_refused_is_not_used_again() {
    let server = server(
        |n| token(&format!("t{n}")),
        |n, _| if n == 1 { Reply::Answer(401, "", "{}".into()) } else { accepted() },
    );
    let (fcm, _) = client(&server, PATIENT);
    assert!(matches!(send(&fcm).await, Outcome::Credentials { .. }));
    assert_eq!(send(&fcm).await, Outcome::Sent);
    assert_eq!(server.tokens.load(SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_hangs_costs_no_more_than_the_timeout() {
    let server = server(|_| token("t"), |_, _| Reply::Hang);
    let (fcm, _) = client(&server, Duration::from_millis(300));
    assert_eq!(retry(&send(&fcm).await), "no answer in time");
}

#[tokio::test]
async fn an_answer_without_an_end_is_read_up_to_a_bound() {
    let server = server(|_| token("t"), |_, _| Reply::Endless);
    let (fcm, _) = client(&server, PATIENT);
    assert_eq!(retry(&send(&fcm).await), "FCM answers 200 with nonsense");
}

#[tokio::test]
async fn nobody_is_followed_elsewhere_with_our_token() {
    let server = server(
        |_| token("t"),
        |n, _| match n {
            1 => Reply::Answer(307, "location: /elsewhere\r\n", String::new()),
            _ => accepted(),
        },
    );
    let (fcm, _) = client(&server, PATIENT);
    retry(&send(&fcm).await);
    assert_eq!(server.messages.load(SeqCst), 1);
}

#[tokio::test]
async fn nobody_at_the_address_is_a_matter_of_time() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let never = || Arc::new(AtomicUsize::new(0));
    let server = Server { url: gone, tokens: never(), messages: never() };
    let (fcm, _) = client(&server, PATIENT);
    assert_eq!(retry(&send(&fcm).await), "the token server: no connection: connection refused");
}
