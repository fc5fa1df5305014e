//! `messaging chat`: a conversation in a terminal, over the native WebSocket; for trying things out.

use std::io::BufRead as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the service is.
    #[arg(long, default_value = "http://127.0.0.1:3004")]
    url: String,
    /// Who you are: `messaging token` makes one.
    #[arg(long)]
    token: String,
    /// Where the lines you type go; without it you only listen, to all of your conversations.
    #[arg(long, value_name = "UUID")]
    conversation: Option<Uuid>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Prints what arrives and sends what is typed, until the input or the connection ends.
pub async fn command(args: Args) -> anyhow::Result<ExitCode> {
    let mut socket = connect(&args).await?;
    // One line at a time: typing waits for sending.
    let (typed, mut lines) = mpsc::channel(1);
    // A thread, because a blocking read of the terminal cannot be cancelled; it ends with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if typed.blocking_send(line).is_err() {
                break;
            }
        }
    });
    let mut listening = args.conversation.is_none();
    let mut unanswered = 0_u64;
    let mut last_id = 0_u64;
    loop {
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text)?;
                    if frame.get("id").is_some() {
                        unanswered = unanswered.saturating_sub(1);
                    }
                    show(&frame, args.conversation);
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| u16::from(frame.code));
                    bail!("The service closed the connection with code {code}.");
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error).context("The connection broke"),
                None => bail!("The connection ended."),
            },
            line = lines.recv(), if !listening => match (line, args.conversation) {
                (Some(line), Some(conversation)) if !line.trim().is_empty() => {
                    last_id += 1;
                    unanswered += 1;
                    socket.send(Message::text(request(last_id, conversation, &line))).await?;
                }
                (Some(_), _) => {}
                // The input ended: what was sent is still awaited.
                (None, _) => listening = true,
            },
        }
        if listening && args.conversation.is_some() && unanswered == 0 {
            socket.close(None).await?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

async fn connect(args: &Args) -> anyhow::Result<Socket> {
    let address =
        format!("{}/messaging/ws", args.url.trim_end_matches('/').replacen("http", "ws", 1));
    let mut request = address.clone().into_client_request().context("--url is not a URL")?;
    let token = format!("Bearer {}", args.token).parse().context("--token is not a token")?;
    request.headers_mut().insert("authorization", token);
    let (socket, _) = connect_async(request)
        .await
        .with_context(|| format!("{address} cannot be connected to"))?;
    Ok(socket)
}

fn request(id: u64, conversation: Uuid, text: &str) -> String {
    let data = json!({
        "conversationId": conversation,
        "content": text,
        "clientMessageId": Uuid::new_v4(),
    });
    json!({ "id": id, "op": "sendMessage", "data": data }).to_string()
}

/// A line for what a person wants to see, nothing for the rest.
fn show(frame: &Value, only: Option<Uuid>) {
    let data = &frame["data"];
    let elsewhere = only.is_some_and(|only| {
        data["conversationId"].as_str().is_some_and(|id| id != only.to_string())
    });
    match (frame["event"].as_str(), &frame["error"]) {
        (Some("connected"), _) => eprintln!("connected as {}", text(&data["userId"])),
        (Some("newMessage"), _) if !elsewhere => {
            let who = data["senderName"].as_str().unwrap_or_else(|| text(&data["senderId"]));
            println!("{who}: {}", text(&data["content"]));
        }
        (None, error) if !error.is_null() => {
            eprintln!("not sent: {} ({})", text(&error["message"]), text(&error["code"]));
        }
        _ => {}
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
