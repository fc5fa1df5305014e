//! Legal hold of a conversation.

use std::process::ExitCode;

use anyhow::bail;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::cli::admin::Operator;

#[derive(Debug, clap::Args)]
pub struct Hold {
    /// The conversation's id.
    #[arg(value_name = "UUID")]
    conversation: Uuid,
    /// End the hold: what was kept because of it is destroyed.
    #[arg(long)]
    release: bool,
}

/// Puts a conversation under hold, or ends that.
pub async fn hold(args: Hold, operator: &Operator) -> anyhow::Result<ExitCode> {
    let store = operator.store().await?;
    let id = args.conversation;
    let Some(hold) = store.hold(id).await? else {
        bail!("There is no conversation {id}; `messaging admin conversation list` finds them");
    };
    let kept = hold.kept;
    match (args.release, hold.since) {
        (true, None) => bail!("Conversation {id} is not under legal hold; nothing was changed"),
        (false, Some(since)) => {
            bail!("Conversation {id} is under legal hold since {since}; nothing was changed")
        }
        (true, Some(_)) => {
            operator.confirm(&format!(
                "release conversation {id} from its legal hold and destroy {kept} versions of messages kept because of it"
            ))?;
            let noted = operator.audit("conversation release", id);
            store.release_hold(id, &noted, operator.dry_run).await?;
            let value = json!({ "conversationId": id, "heldSince": null, "destroyed": kept });
            operator.say(&value, &format!("Conversation {id} is released from its legal hold."))?;
        }
        (false, None) => {
            if operator.reason.is_none() {
                bail!("A legal hold has a reason: say it with --reason; nothing was changed");
            }
            let now = Timestamp::now();
            let noted = operator.audit("conversation hold", id);
            store.set_hold(id, now, &noted, operator.dry_run).await?;
            let value = json!({ "conversationId": id, "heldSince": now.to_string() });
            let sentence = format!(
                "Conversation {id} is under legal hold: nothing of it is removed for good."
            );
            operator.say(&value, &sentence)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
