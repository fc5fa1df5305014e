//! What a newcomer sees once everything runs: two users and commands to try.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use std::io::Write as _;
use uuid::Uuid;

use crate::cli::token;

/// The demo users: the same in every data folder, so that commands can be kept.
const ADA: (Uuid, &str) = (Uuid::from_u128(0xada0_0000_0000_4000_8000_0000_0000_0001), "Ada");
const BAYO: (Uuid, &str) = (Uuid::from_u128(0xba00_0000_0000_4000_8000_0000_0000_0002), "Bayo");

const VALID_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Prints `READY`, alone on its line and first, then what to try.
pub fn announce(address: SocketAddr, data: &Path, secret: &str) -> anyhow::Result<()> {
    let ada = token::sign(ADA.0, Some(ADA.1), VALID_FOR, secret)?;
    let bayo = token::sign(BAYO.0, Some(BAYO.1), VALID_FOR, secret)?;
    let program = program();
    let (bayo_id, data) = (BAYO.0, data.display());
    let text = format!(
        "READY http://{address}

Two users to try it with (tokens are valid for a week):
  ADA={ada}
  BAYO={bayo}

In a second terminal, after pasting the two lines above, Ada opens a conversation with Bayo and writes to him:
  CHAT=$(curl -s http://{address}/messaging/conversations -H \"Authorization: Bearer $ADA\" \\
    -H 'content-type: application/json' -d '{{\"type\":\"direct\",\"participantIds\":[\"{bayo_id}\"]}}' \\
    | sed 's/^{{\"id\":\"\\([^\"]*\\)\".*/\\1/')
  curl -s http://{address}/messaging/messages -H \"Authorization: Bearer $ADA\" \\
    -H 'content-type: application/json' -d \"{{\\\"conversationId\\\":\\\"$CHAT\\\",\\\"content\\\":\\\"Hello Bayo!\\\"}}\"; echo

Over WebSocket, Bayo listens and answers (each line you type is sent):
  {program} chat --url http://{address} --token $BAYO --conversation $CHAT

As the operator, how everything is:
  {program} admin --data {data} status

A token for anyone else:
  {program} token --data {data} --user 00000000-0000-4000-8000-00000000000a --name Chi

Ctrl-C stops everything; the data stays in {data}.
"
    );
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// How to call this program again, relative to the working folder if it lies below it.
fn program() -> String {
    let Ok(program) = std::env::current_exe() else { return "messaging".to_owned() };
    let here = std::env::current_dir().unwrap_or_default();
    program.strip_prefix(&here).unwrap_or(&program).display().to_string()
}
