//! Who may change a conversation and its participants.

use super::conversation::{ConversationType, Role};

/// Why a change to a conversation or its participants is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The conversation is not the actor's, or does not exist: nobody learns which.
    NotAParticipant,
    /// Only admins may do this.
    AdminsOnly,
    /// A direct conversation has its two people for good, and neither title nor roles of its own.
    Direct,
    /// The last admin may not leave or step down while others remain.
    LastAdmin,
    /// With these the group would be larger than allowed.
    TooMany { max: u32 },
    /// The person named is not in the conversation.
    NoSuchParticipant,
    /// The person named may not come (back) in.
    Banned,
    /// The person named is the actor.
    Oneself,
    /// Nobody has asked to join under that name.
    NoSuchRequest,
    /// No more can wait to be let in.
    TooManyRequests { max: u32 },
    /// The person named is not banned.
    NoSuchBan,
    /// No more can be banned.
    TooManyBans { max: u32 },
    /// Only communities can be joined.
    NotJoinable,
    /// A message that was deleted.
    Deleted,
    /// No more messages can be pinned.
    TooManyPins { max: u32 },
    /// One of the two has blocked the other.
    Blocked,
}

/// Messages that are pinned in a conversation at most.
pub const MAX_PINS: u32 = 50;
/// People who wait to be let in at most: more than admins look through, and 1 MB of rows.
pub const MAX_JOIN_REQUESTS: u32 = 10_000;
/// People who are banned from a conversation at most: 10 MB of rows.
pub const MAX_BANS: u32 = 100_000;

/// What a change needs to know of the conversation; read under the lock of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub kind: ConversationType,
    pub participants: u32,
    /// Is somebody an admin besides the person whose place changes?
    pub has_other_admin: bool,
}

/// May somebody with this role change title, description and avatar?
pub fn may_edit_details(kind: ConversationType, role: Role) -> Result<(), Refused> {
    may_manage(kind, role)
}

/// May somebody with this role let in, refuse and ban people?
pub fn may_moderate(kind: ConversationType, role: Role) -> Result<(), Refused> {
    may_manage(kind, role)
}

/// May somebody with this role say that whoever joins has to be let in?
pub fn may_ask_for_approval(kind: ConversationType, role: Role) -> Result<(), Refused> {
    may_manage(kind, role)?;
    if kind == ConversationType::Community { Ok(()) } else { Err(Refused::NotJoinable) }
}

/// May somebody with this role pin messages? In a direct conversation both may.
pub fn may_pin(kind: ConversationType, role: Role) -> Result<(), Refused> {
    match (kind, role) {
        (ConversationType::Direct, _) | (_, Role::Admin) => Ok(()),
        (_, Role::Member) => Err(Refused::AdminsOnly),
    }
}

/// May somebody with this role add `new` people? `max` of 0 means no limit; it concerns groups only.
pub fn may_add(state: State, role: Role, new: u32, max: u32) -> Result<(), Refused> {
    may_manage(state.kind, role)?;
    fits(state.kind, state.participants.saturating_add(new), max)
}

/// Does a conversation of this type bear so many participants? `max` of 0 means no limit.
pub fn fits(kind: ConversationType, participants: u32, max: u32) -> Result<(), Refused> {
    if kind == ConversationType::Group && max > 0 && participants > max {
        return Err(Refused::TooMany { max });
    }
    Ok(())
}

/// May somebody with this role remove another person?
pub fn may_remove(kind: ConversationType, role: Role) -> Result<(), Refused> {
    may_manage(kind, role)
}

/// May the person with this role leave?
pub fn may_leave(state: State, role: Role) -> Result<(), Refused> {
    if state.kind == ConversationType::Direct {
        return Err(Refused::Direct);
    }
    keeps_an_admin(state, role)
}

/// May an `actor` role turn somebody's role from `from` to `to`?
pub fn may_set_role(state: State, actor: Role, from: Role, to: Role) -> Result<(), Refused> {
    may_manage(state.kind, actor)?;
    if to == Role::Admin { Ok(()) } else { keeps_an_admin(state, from) }
}

/// May somebody join by themselves? Where not, the conversation keeps its existence to itself.
pub fn may_join(kind: ConversationType) -> Result<(), Refused> {
    if kind == ConversationType::Community { Ok(()) } else { Err(Refused::NotAParticipant) }
}

fn may_manage(kind: ConversationType, role: Role) -> Result<(), Refused> {
    match (kind, role) {
        (ConversationType::Direct, _) => Err(Refused::Direct),
        (_, Role::Admin) => Ok(()),
        (_, Role::Member) => Err(Refused::AdminsOnly),
    }
}

/// With others around, one admin remains; the last person out needs none.
fn keeps_an_admin(state: State, role: Role) -> Result<(), Refused> {
    if role == Role::Admin && !state.has_other_admin && state.participants > 1 {
        return Err(Refused::LastAdmin);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(participants: u32, has_other_admin: bool) -> State {
        State { kind: ConversationType::Group, participants, has_other_admin }
    }

    #[test]
    fn the_last_admin_stays_while_others_remain() {
        assert_eq!(may_leave(group(3, false), Role::Admin), Err(Refused::LastAdmin));
        assert_eq!(may_leave(group(3, true), Role::Admin), Ok(()));
        assert_eq!(may_leave(group(1, false), Role::Admin), Ok(()));
        assert_eq!(may_leave(group(3, true), Role::Member), Ok(()));
        let demoted = may_set_role(group(3, false), Role::Admin, Role::Admin, Role::Member);
        assert_eq!(demoted, Err(Refused::LastAdmin));
    }

    #[test]
    fn a_group_does_not_outgrow_its_limit_and_a_community_has_none() {
        assert_eq!(may_add(group(9, true), Role::Admin, 1, 10), Ok(()));
        assert_eq!(may_add(group(9, true), Role::Admin, 2, 10), Err(Refused::TooMany { max: 10 }));
        assert_eq!(may_add(group(9, true), Role::Admin, 2, 0), Ok(()));
        assert_eq!(fits(ConversationType::Community, 50_000, 10), Ok(()));
    }

    #[test]
    fn direct_conversations_are_for_good() {
        let direct =
            State { kind: ConversationType::Direct, participants: 2, has_other_admin: false };
        assert_eq!(may_leave(direct, Role::Member), Err(Refused::Direct));
        assert_eq!(may_add(direct, Role::Admin, 1, 0), Err(Refused::Direct));
        assert_eq!(may_edit_details(ConversationType::Direct, Role::Admin), Err(Refused::Direct));
    }

    #[test]
    fn both_pin_in_a_direct_conversation_and_admins_elsewhere() {
        assert_eq!(may_pin(ConversationType::Direct, Role::Member), Ok(()));
        assert_eq!(may_pin(ConversationType::Group, Role::Member), Err(Refused::AdminsOnly));
        assert_eq!(may_pin(ConversationType::Community, Role::Admin), Ok(()));
    }

    #[test]
    fn only_a_community_asks_for_approval() {
        let asked = may_ask_for_approval(ConversationType::Group, Role::Admin);
        assert_eq!(asked, Err(Refused::NotJoinable));
        assert_eq!(may_ask_for_approval(ConversationType::Community, Role::Admin), Ok(()));
    }

    #[test]
    fn members_manage_nothing() {
        assert_eq!(may_add(group(3, true), Role::Member, 1, 0), Err(Refused::AdminsOnly));
        assert_eq!(may_remove(ConversationType::Group, Role::Member), Err(Refused::AdminsOnly));
        assert_eq!(may_join(ConversationType::Group), Err(Refused::NotAParticipant));
    }
}
