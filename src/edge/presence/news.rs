//! What waits to be told of people's coming and going.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::domain::ids::UserId;
use crate::domain::presence::Status;

/// Announcements that wait for the database, one for each user at most: 100 bytes each make 10 MB. What comes on
/// top of that is dropped, and counted.
const MAX_WAITING: usize = 100_000;

/// Something that others are to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    pub status: Status,
    pub at: Timestamp,
}

/// What waits, the latest for each user.
#[derive(Debug, Default)]
pub struct Waiting {
    /// To the users' contacts, wherever they are.
    pub contacts: HashMap<UserId, News>,
    /// To connections of this node that follow the user. Bounded by how many are followed.
    pub followers: HashMap<UserId, News>,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty() && self.followers.is_empty()
    }

    /// `false` if there was no room.
    pub fn tell_contacts(&mut self, news: News) -> bool {
        let user = news.status.user_id;
        let fits = self.contacts.len() < MAX_WAITING || self.contacts.contains_key(&user);
        if fits {
            self.contacts.insert(user, news);
        }
        fits
    }

    pub fn tell_followers(&mut self, news: News) {
        self.followers.insert(news.status.user_id, news);
    }

    /// Takes at most `max` users of each kind.
    pub fn take(&mut self, max: usize) -> Self {
        Self {
            contacts: take_some(&mut self.contacts, max),
            followers: take_some(&mut self.followers, max),
        }
    }

    /// Takes back what could not be told, unless there is something newer.
    pub fn put_back(&mut self, untold: Self) {
        for (user, news) in untold.contacts {
            self.contacts.entry(user).or_insert(news);
        }
        for (user, news) in untold.followers {
            self.followers.entry(user).or_insert(news);
        }
    }
}

fn take_some(from: &mut HashMap<UserId, News>, max: usize) -> HashMap<UserId, News> {
    if from.len() <= max {
        return std::mem::take(from);
    }
    let users: Vec<UserId> = from.keys().take(max).copied().collect();
    users.into_iter().filter_map(|user| Some((user, from.remove(&user)?))).collect()
}
