//! What a request asks for, checked, in the terms of the store: for clients, and for operators who ask for the same.

use uuid::Uuid;

use crate::domain::conversation::{ConversationType, direct_key};
use crate::domain::ids::UserId;
use crate::store::conversations::{About, NewConversation};
use crate::store::details::Details;
use crate::wire::error::ApiError;
use crate::wire::event::Change;
use crate::wire::requests::conversations::CreateConversation;
use crate::wire::requests::settings::PatchConversation;

/// The conversation that `creator` asks for, under an id of its own; a group of at most `most`, 0 for any number.
///
/// # Errors
/// `invalid`, naming every field that is wrong.
pub fn asked(
    request: CreateConversation,
    creator: UserId,
    most: u32,
) -> Result<NewConversation, ApiError> {
    let valid = request.validate(creator, most)?;
    let about = valid.context.map(|(kind, id)| About { kind, id, title: None });
    Ok(NewConversation {
        id: Uuid::new_v4(),
        kind: valid.kind,
        title: valid.title,
        description: valid.description,
        creator,
        direct_key: direct_key_of(valid.kind, creator, &valid.others, about.as_ref()),
        others: valid.others,
        about,
    })
}

fn direct_key_of(
    kind: ConversationType,
    creator: UserId,
    others: &[UserId],
    about: Option<&About>,
) -> Option<String> {
    match (kind, others) {
        (ConversationType::Direct, [other]) => {
            let context = about.and_then(|about| Some((about.kind, about.id?)));
            Some(direct_key(creator, *other, context))
        }
        _ => None,
    }
}

/// What is to be different, and what the change is called. There is one event also where settings change beside the
/// title: it carries the conversation, and so everything that is new in it.
///
/// # Errors
/// `invalid`, naming every field that is wrong.
pub fn details(request: PatchConversation) -> Result<(Details, Change), ApiError> {
    let valid = request.validate()?;
    let change = if valid.changes_settings() { Change::Settings } else { Change::Title };
    let details = Details {
        title: valid.title,
        description: valid.description,
        avatar_url: valid.avatar_url,
        posting_policy: valid.posting_policy,
        slow_mode_seconds: valid.slow_mode_seconds,
        join_approval: valid.join_approval,
    };
    Ok((details, change))
}
