//! Making conversations and changing what they are called.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ArgGroup;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Operator, context, event, invalid, refused};
use crate::domain::conversation::{ContextType, Conversation, ConversationType};
use crate::edge::conversations::requests;
use crate::wire::event::Change;
use crate::wire::requests::conversations::CreateConversation;
use crate::wire::requests::settings::PatchConversation;

#[derive(Debug, clap::Args)]
pub struct Create {
    /// direct, group or community.
    #[arg(long = "type", value_name = "TYPE", value_parser = super::kind)]
    kind: ConversationType,
    /// Who owns it, and is its admin.
    #[arg(long, value_name = "UUID")]
    creator: Uuid,
    /// The others, each once: exactly one for a direct conversation.
    #[arg(long, value_name = "UUID", value_delimiter = ',')]
    with: Vec<Uuid>,
    /// Not for direct conversations.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Not for direct conversations.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What it is about: `event/<id>`, `general`, …
    #[arg(long, value_name = "TYPE[/UUID]", value_parser = context)]
    context: Option<(ContextType, Option<Uuid>)>,
}

#[derive(Debug, clap::Args)]
#[command(group(
    ArgGroup::new("details").required(true).multiple(true)
        .args(["title", "description", "picture", "posting", "slow_mode", "join_approval"])
))]
pub struct Update {
    /// The conversation's id.
    #[arg(value_name = "UUID")]
    conversation: Uuid,
    /// A new title.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// A new description; an empty one clears it.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A new picture; an empty one clears it.
    #[arg(long, value_name = "URL")]
    picture: Option<String>,
    /// Who writes: everyone, or admins (members read and react).
    #[arg(long, value_name = "WHO", value_parser = ["everyone", "admins"])]
    posting: Option<String>,
    /// Seconds between two messages of a member, 21,600 at most; 0 turns it off.
    #[arg(long, value_name = "SECONDS")]
    slow_mode: Option<i64>,
    /// Whether whoever joins has to be let in by an admin: on or off; communities only.
    #[arg(long, value_name = "ON|OFF", value_parser = ["on", "off"])]
    join_approval: Option<String>,
}

/// Makes one, by the rules that hold for clients.
pub async fn create(args: Create, operator: &Operator) -> anyhow::Result<ExitCode> {
    let request = json!({
        "type": args.kind.as_str(),
        "title": args.title,
        "description": args.description,
        "participantIds": args.with,
        "contextType": args.context.map(|(kind, _)| kind.as_str()),
        "contextId": args.context.and_then(|(_, id)| id),
    });
    let request: CreateConversation = serde_json::from_value(request)?;
    let new =
        requests::asked(request, args.creator, most(operator)).map_err(|error| invalid(&error))?;
    let store = operator.store().await?;
    let mut everyone = vec![new.creator];
    everyone.extend(&new.others);
    let announced = |after: &Conversation| event(Change::Created, &everyone, after);
    let audit = operator.audit("conversation create", new.id);
    let opening = store.admin_open(&new, Timestamp::now(), (&audit, operator.dry_run), announced);
    let opened = opening.await.map_err(|error| refused(new.id, error))?;
    let sentence = match opened.created {
        true if operator.dry_run => "A conversation would be made".to_owned(),
        true => {
            format!("Conversation {} was made; its people hear of it within seconds", opened.id)
        }
        false => format!("These two have that conversation already: {}", opened.id),
    };
    let id = (!operator.dry_run || !opened.created).then_some(opened.id);
    operator.say(
        &json!({ "id": id, "created": opened.created, "dryRun": operator.dry_run }),
        &sentence,
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Changes what is given.
pub async fn update(args: Update, operator: &Operator) -> anyhow::Result<ExitCode> {
    let mut request = serde_json::Map::new();
    let given =
        [("title", &args.title), ("description", &args.description), ("avatarUrl", &args.picture)];
    for (field, text) in given {
        if let Some(text) = text {
            // What clears a field is `null`; a title cannot be cleared.
            let clears = text.is_empty() && field != "title";
            request.insert(field.to_owned(), if clears { Value::Null } else { json!(text) });
        }
    }
    let settings = [
        ("postingPolicy", args.posting.map(Value::from)),
        ("slowModeSeconds", args.slow_mode.map(Value::from)),
        ("joinApproval", args.join_approval.map(|choice| Value::from(choice == "on"))),
    ];
    request
        .extend(settings.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))));
    let request: PatchConversation = serde_json::from_value(Value::Object(request))?;
    let (details, change) = requests::details(request).map_err(|error| invalid(&error))?;
    let (id, store) = (args.conversation, operator.store().await?);
    let announced = |after: &Conversation| event(change, &[], after);
    let audit = operator.audit("conversation update", id);
    store
        .admin_set_details(id, &details, Timestamp::now(), (&audit, operator.dry_run), announced)
        .await
        .map_err(|error| refused(id, error))?;
    let sentence = match operator.dry_run {
        true => format!("Conversation {id} would be changed"),
        false => format!("Conversation {id} was changed; its people hear of it within seconds"),
    };
    operator.say(&json!({ "id": id, "dryRun": operator.dry_run }), &sentence)?;
    Ok(ExitCode::SUCCESS)
}

/// The most participants of a group, 0 for any number.
pub fn most(operator: &Operator) -> u32 {
    u32::try_from(operator.config.limits.max_group_participants).unwrap_or(u32::MAX)
}

/// One page of ids for a sentence, so that it stays one.
pub fn some(ids: &[Uuid]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = ids.iter().take(SHOWN).map(Uuid::to_string).collect();
    match ids.len().checked_sub(SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// # Errors
/// When more are named than one announcement bears.
pub fn at_once(ids: &[Uuid]) -> anyhow::Result<()> {
    use crate::wire::requests::conversations::MAX_NAMED_USERS;
    if ids.len() > MAX_NAMED_USERS {
        bail!("At most {MAX_NAMED_USERS} people can be named at once");
    }
    ids.first().context("Nobody is named").map(|_| ())
}
