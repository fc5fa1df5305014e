//! `[push]`: notifications through Firebase Cloud Messaging.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Secret;
use super::formats::duration;

/// Who we are to Google, and how notifications look.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Empty when not set.
    pub credentials_file: PathBuf,
    pub project_id: String,
    pub private_key: Secret,
    pub client_email: String,
    pub fcm_url: String,
    /// Empty when not set.
    pub token_url: String,
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    pub concurrency: usize,
    #[serde(with = "duration")]
    pub grace: Duration,
    #[serde(with = "duration")]
    pub max_age: Duration,
    #[serde(with = "duration")]
    pub lease: Duration,
    #[serde(with = "duration")]
    pub ttl: Duration,
    pub preview_chars: usize,
    pub channel: String,
    pub quiet_channel: String,
    pub web_icon: String,
    pub web_link: String,
}

/// What waits for its second look waits in memory.
const MAX_GRACE: Duration = Duration::from_secs(60);
/// The longest FCM keeps a message: four weeks.
const MAX_TTL: Duration = Duration::from_secs(28 * 24 * 3600);
/// What FCM takes is 4,096 bytes in all; see `push/fcm/payload.rs` for the sum.
const MAX_NAME_BYTES: usize = 100;
const MAX_URL_BYTES: usize = 400;

impl Push {
    /// The service account's file, if one is configured.
    pub fn credentials_file(&self) -> Option<&PathBuf> {
        (!self.credentials_file.as_os_str().is_empty()).then_some(&self.credentials_file)
    }

    /// Whether anything says who we are to Google. Without that, notifications are off.
    pub fn is_on(&self) -> bool {
        self.credentials_file().is_some() || !self.named_key().iter().all(|(_, given)| !given)
    }

    /// The three settings that stand in for a file, and whether each is given. The project alone is none: it
    /// is also set where another program on the machine needs it.
    fn named_key(&self) -> [(&'static str, bool); 2] {
        [
            ("FIREBASE_PRIVATE_KEY", !self.private_key.is_empty()),
            ("FIREBASE_CLIENT_EMAIL", !self.client_email.is_empty()),
        ]
    }

    pub(super) fn check(&self, problems: &mut Vec<String>) {
        self.check_credentials(problems);
        for (name, url, required) in [
            ("push.fcm_url (MESSAGING_FCM_URL)", &self.fcm_url, true),
            ("push.token_url (MESSAGING_FCM_TOKEN_URL)", &self.token_url, false),
        ] {
            let given = required || !url.is_empty();
            if given && !url.starts_with("https://") && !url.starts_with("http://") {
                problems.push(format!("{name} must start with https:// or http://."));
            }
        }
        if self.request_timeout.is_zero() {
            problems.push("push.request_timeout must be longer than 0s.".into());
        }
        if self.concurrency == 0 {
            problems.push("push.concurrency must be at least 1.".into());
        }
        // A request may have to wait for an access token first.
        if self.lease <= 2 * self.request_timeout {
            problems.push(
                "push.lease (MESSAGING_PUSH_LEASE) must be longer than twice push.request_timeout."
                    .into(),
            );
        }
        if self.grace > MAX_GRACE {
            problems.push("push.grace (MESSAGING_PUSH_GRACE) must be 60s at most.".into());
        }
        if self.ttl > MAX_TTL {
            problems.push(
                "push.ttl is over 672h (four weeks), the longest FCM keeps a message.".into(),
            );
        }
        if !(1..=500).contains(&self.preview_chars) {
            problems.push("push.preview_chars must be from 1 to 500.".into());
        }
        for (name, text, max) in [
            ("push.channel", &self.channel, MAX_NAME_BYTES),
            ("push.quiet_channel", &self.quiet_channel, MAX_NAME_BYTES),
            ("push.web_icon", &self.web_icon, MAX_URL_BYTES),
            ("push.web_link", &self.web_link, MAX_URL_BYTES),
        ] {
            if text.len() > max || text.chars().any(char::is_control) {
                problems.push(format!("{name} must have at most {max} bytes of printable text."));
            }
        }
        if !self.web_link.is_empty() && !self.web_link.starts_with("https://") {
            problems.push("push.web_link must start with https://; FCM takes no other.".into());
        }
    }

    fn check_credentials(&self, problems: &mut Vec<String>) {
        if let Some(file) = self.credentials_file() {
            if !file.is_file() {
                problems.push(format!(
                    "push.credentials_file (GOOGLE_APPLICATION_CREDENTIALS): there is no file {}.",
                    file.display()
                ));
            }
            return;
        }
        if !self.is_on() {
            return;
        }
        let project = ("FIREBASE_PROJECT_ID", !self.project_id.is_empty());
        let missing: Vec<_> = [project]
            .into_iter()
            .chain(self.named_key())
            .filter_map(|(name, given)| (!given).then_some(name))
            .collect();
        if !missing.is_empty() {
            problems.push(format!(
                "Notifications are only half configured, without {}. Set all of FIREBASE_PROJECT_ID, \
                 FIREBASE_PRIVATE_KEY and FIREBASE_CLIENT_EMAIL, or GOOGLE_APPLICATION_CREDENTIALS, or none.",
                missing.join(" and ")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load;

    fn problems(vars: &[(&str, &str)]) -> Vec<String> {
        let config = load(None, |name| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        });
        let mut problems = Vec::new();
        config.expect("a config").push.check(&mut problems);
        problems
    }

    #[test]
    fn half_of_the_credentials_is_a_problem_and_none_is_not() {
        assert!(problems(&[]).is_empty());
        assert!(problems(&[("FIREBASE_PROJECT_ID", "p")]).is_empty());
        let half = problems(&[("FIREBASE_PRIVATE_KEY", "k")]);
        assert_eq!(half.len(), 1, "{half:?}");
        assert!(
            half[0].contains("without FIREBASE_PROJECT_ID and FIREBASE_CLIENT_EMAIL."),
            "{half:?}"
        );
        let all = [
            ("FIREBASE_PROJECT_ID", "p"),
            ("FIREBASE_PRIVATE_KEY", "k"),
            ("FIREBASE_CLIENT_EMAIL", "e"),
        ];
        assert!(problems(&all).is_empty());
        assert_eq!(problems(&[("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file")]).len(), 1);
    }

    #[test]
    fn what_fcm_would_refuse_is_refused_here() {
        assert_eq!(problems(&[("MESSAGING_PUSH_TTL", "673h")]).len(), 1);
        assert_eq!(problems(&[("MESSAGING_PUSH_WEB_LINK", "http://x")]).len(), 1);
        assert_eq!(problems(&[("MESSAGING_FCM_URL", "ftp://x")]).len(), 1);
    }
}
