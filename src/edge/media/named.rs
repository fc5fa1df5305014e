//! What a message may link to: files of this service that belong to its conversation, or to nobody but its sender
//! yet, and hosts that the operator has named.

use jiff::Timestamp;

use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::domain::media::MediaKey;
use crate::domain::message::MessageType;
use crate::edge::{Edge, error};
use crate::store::media::Claim;
use crate::wire::error::{ApiError, FieldErrors};
use crate::wire::{media, metadata};

use super::Media;

/// How long a claim counts before the message has come through the log: the persister may be away for a day.
const CLAIM: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// What a link points to.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// A file of this service.
    Own(MediaKey),
    Elsewhere,
    Refused(&'static str),
}

/// A message that is about to be sent.
pub struct Naming<'a> {
    pub message: MessageId,
    pub conversation: ConversationId,
    pub sender: UserId,
    pub kind: MessageType,
    pub metadata: &'a str,
    /// When it is sent, if later.
    pub at: Option<Timestamp>,
}

/// May messages of this type link to files at all? The others need not be looked at.
pub fn concerns(kind: MessageType) -> bool {
    matches!(kind, MessageType::Image | MessageType::Video | MessageType::Audio | MessageType::File)
}

/// Claims the files that a message names, so that they stay.
///
/// # Errors
/// `invalid` for the fields that name what the sender may not use here, `unavailable`.
pub async fn claim(edge: &Edge, naming: Naming<'_>) -> Result<(), ApiError> {
    let mut errors = FieldErrors::default();
    let mut own = Vec::new();
    for (field, link) in metadata::links(naming.kind, naming.metadata) {
        match edge.media.target(&link) {
            Target::Own(key) => own.push((field, key)),
            Target::Elsewhere => {}
            Target::Refused(why) => errors.push(format!("metadata.{field}"), why),
        }
    }
    errors.finish()?;
    if own.is_empty() {
        return Ok(());
    }
    let keys: Vec<MediaKey> = own.iter().map(|(_, key)| *key).collect();
    let claim = Claim {
        keys: &keys,
        message: naming.message,
        conversation: naming.conversation,
        sender: naming.sender,
        until: naming.at.unwrap_or_else(|| edge.clock.now()) + CLAIM,
    };
    let claimed = edge.store.claim_media(claim).await.map_err(error::store)?;
    let mut errors = FieldErrors::default();
    for (field, _) in own.iter().filter(|(_, key)| !claimed.contains(key)) {
        errors.push(format!("metadata.{field}"), "names no file that you may use here");
    }
    errors.finish()
}

impl Media {
    fn target(&self, link: &str) -> Target {
        const FOREIGN: &str = "must be a file of this service, or on a host that it allows";
        let below = |base: &str| {
            !base.is_empty() && link.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
        };
        if link.starts_with('/') || below(&self.public_url) {
            return match media::key_in(link) {
                Some(key) => Target::Own(key),
                None => Target::Refused("names no file of this service"),
            };
        }
        // Without a place for files of its own, and with no word from the operator, the app keeps them elsewhere.
        let anywhere = self.service.is_none() && self.allowed_hosts.is_empty();
        match host(link) {
            Some(_) if anywhere => Target::Elsewhere,
            Some(host) if self.allowed_hosts.iter().any(|allowed| covers(allowed, &host)) => {
                Target::Elsewhere
            }
            _ => Target::Refused(FOREIGN),
        }
    }
}

/// The host of an http(s) URL, in lower case. What browsers and this code might read differently has none.
fn host(link: &str) -> Option<String> {
    let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    if link.contains('\\') || authority.contains('@') {
        return None;
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) => return None,
        None => authority,
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    (!host.is_empty() && host.bytes().all(is_name)).then(|| host.to_ascii_lowercase())
}

/// `*.example.com` stands for every host below, `*` for every host.
fn covers(allowed: &str, host: &str) -> bool {
    match allowed.strip_prefix('*') {
        Some("") => true,
        Some(below) => host.ends_with(&below.to_ascii_lowercase()) && host.len() > below.len(),
        None => allowed.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::media::spool::Spool;

    fn media(public_url: &str, hosts: &[&str]) -> Media {
        Media {
            public_url: public_url.to_owned(),
            spool: Spool::open(&std::env::temp_dir()).expect("a folder"),
            allowed_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            service: None,
        }
    }

    #[test]
    fn own_links_name_a_file() {
        let key = Uuid::new_v4();
        let here = media("https://chat.example.com", &["cdn.example.com"]);
        for link in [
            format!("/messaging/media/{key}"),
            format!("/messaging/media/{key}/thumbnail"),
            format!("https://chat.example.com/messaging/media/{key}"),
        ] {
            assert_eq!(here.target(&link), Target::Own(key), "{link}");
        }
        for link in [
            "/messaging/media/x".to_owned(),
            "/etc/passwd".to_owned(),
            format!("https://chat.example.com/other/{key}"),
            format!("https://chat.example.com.evil.example/messaging/media/{key}"),
            format!("https://evil.example/messaging/media/{key}"),
        ] {
            assert!(matches!(here.target(&link), Target::Refused(_)), "{link}");
        }
    }

    #[test]
    fn other_hosts_are_those_that_were_named() {
        let here = media("", &["cdn.example.com", "*.giphy.com"]);
        for link in [
            "https://cdn.example.com/a.png",
            "http://CDN.example.com:8080/a",
            "https://media.giphy.com/x",
            "https://cdn.example.com",
        ] {
            assert_eq!(here.target(link), Target::Elsewhere, "{link}");
        }
        for link in [
            "https://example.com/a.png",
            "https://xcdn.example.com/a",
            "https://giphy.com/x",
            "https://evilgiphy.com/x",
            "https://cdn.example.com@evil.example/x",
            "https://evil.example\\@cdn.example.com/x",
            "https://evil.example#cdn.example.com",
            "https://[::1]/x",
            "ftp://cdn.example.com/x",
        ] {
            assert!(matches!(here.target(link), Target::Refused(_)), "{link}");
        }
        assert_eq!(media("", &[]).target("https://anywhere.example/x"), Target::Elsewhere);
        assert_eq!(media("", &["*"]).target("https://anywhere.example/x"), Target::Elsewhere);
    }
}
