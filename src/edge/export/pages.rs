//! What is read out of the database page after page.

use futures_util::stream::{self, Stream};
use uuid::Uuid;

use crate::domain::ids::{ConversationId, UserId};
use crate::store::own_data::pages::{Block, OwnFile, OwnReaction, Place};
use crate::store::reports::Report;
use crate::store::{Store, StoreError};

/// Of what is small: some 100 KB.
pub const ROWS: u32 = 500;

/// Pages of `T`.
pub trait Pages<T>: Stream<Item = Result<Vec<T>, StoreError>> + Send {}

impl<T, S: Stream<Item = Result<Vec<T>, StoreError>> + Send> Pages<T> for S {}

/// The conversations where the user is or was, so many at a time.
pub fn places(store: &Store, user: UserId, size: u32) -> impl Pages<Place> + use<> {
    let read = move |store: Store, after| async move { store.own_places(user, after, size).await };
    pages(store.clone(), Uuid::nil(), |place: &Place| place.conversation, read)
}

/// The user's reactions in a conversation.
pub fn reactions(
    store: &Store,
    user: UserId,
    conversation: ConversationId,
) -> impl Pages<OwnReaction> + use<> {
    let read = move |store: Store, after| async move {
        store.own_reactions(user, conversation, after, ROWS).await
    };
    pages(store.clone(), 0, |own: &OwnReaction| own.seq, read)
}

/// Whom the user has blocked.
pub fn blocks(store: &Store, user: UserId) -> impl Pages<Block> + use<> {
    let read = move |store: Store, after| async move { store.own_blocks(user, after, ROWS).await };
    pages(store.clone(), Uuid::nil(), |block: &Block| block.user, read)
}

/// What the user has reported.
pub fn reports(store: &Store, user: UserId) -> impl Pages<Report> + use<> {
    let read = move |store: Store, after| async move { store.own_reports(user, after, ROWS).await };
    pages(store.clone(), Uuid::nil(), |report: &Report| report.id, read)
}

/// The user's files.
pub fn files(store: &Store, user: UserId) -> impl Pages<OwnFile> + use<> {
    let read = move |store: Store, after| async move { store.own_files(user, after, ROWS).await };
    pages(store.clone(), Uuid::nil(), |file: &OwnFile| file.key, read)
}

/// Page after page, each from where the one before has ended (`end` says where), until one is empty.
fn pages<T, K, F>(
    store: Store,
    first: K,
    end: fn(&T) -> K,
    read: impl Fn(Store, K) -> F + Send,
) -> impl Pages<T>
where
    T: Send,
    K: Send,
    F: Future<Output = Result<Vec<T>, StoreError>> + Send,
{
    stream::try_unfold(first, move |after| {
        let page = read(store.clone(), after);
        async move {
            let page = page.await?;
            let next = page.last().map(end);
            Ok(next.map(|next| (page, next)))
        }
    })
}
