//! `[media]`: files, and where they are kept.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::formats::{duration, list};
use super::{Auth, Secret};

/// Files that people share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    pub url: String,
    pub public_url: String,
    pub spool: PathBuf,
    #[serde(deserialize_with = "list::deserialize")]
    pub allowed_hosts: Vec<String>,
    #[serde(deserialize_with = "list::deserialize")]
    pub types: Vec<String>,
    pub max_image_bytes: u64,
    pub max_video_bytes: u64,
    pub max_audio_bytes: u64,
    pub max_file_bytes: u64,
    pub max_pixels: u64,
    pub uploads: usize,
    pub uploads_per_user: usize,
    pub upload_bytes_per_second: u64,
    pub signing_key: Secret,
    #[serde(with = "duration")]
    pub link_lifetime: Duration,
    #[serde(with = "duration")]
    pub orphans_after: Duration,
    pub s3: S3,
}

/// `[media.s3]`: how an S3 server is reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    pub endpoint: String,
    pub port: u16,
    pub tls: bool,
    pub access_key: String,
    pub secret_key: Secret,
    pub bucket: String,
    pub region: String,
    pub public_endpoint: String,
}

/// Where files are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Folder(PathBuf),
    Bucket { bucket: String, prefix: String },
}

impl Media {
    /// Where files are kept; `None` when nothing is configured.
    ///
    /// # Errors
    /// A sentence when the URL makes no sense.
    pub fn place(&self) -> Result<Option<Place>, String> {
        if let Some(path) = self.url.strip_prefix("file://") {
            return if path.starts_with('/') {
                Ok(Some(Place::Folder(PathBuf::from(path))))
            } else {
                Err("media.url (MESSAGING_MEDIA_URL) must name a folder from the root, such as \
                     file:///var/lib/messaging/media."
                    .into())
            };
        }
        if let Some(rest) = self.url.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            return if bucket.is_empty() {
                Err("media.url (MESSAGING_MEDIA_URL) names no bucket; write s3://bucket.".into())
            } else {
                let prefix = prefix.trim_matches('/').to_owned();
                Ok(Some(Place::Bucket { bucket: bucket.to_owned(), prefix }))
            };
        }
        match (self.url.as_str(), self.s3.endpoint.as_str()) {
            ("", "") => Ok(None),
            ("", _) => {
                Ok(Some(Place::Bucket { bucket: self.s3.bucket.clone(), prefix: String::new() }))
            }
            _ => Err("media.url (MESSAGING_MEDIA_URL) must begin with file:// or s3://.".into()),
        }
    }

    pub(super) fn check(&self, auth: &Auth, problems: &mut Vec<String>) {
        let place = self.place();
        if let Err(problem) = &place {
            problems.push(problem.clone());
        }
        if !self.public_url.is_empty() && !is_base(&self.public_url) {
            problems.push(
                "media.public_url (MESSAGING_PUBLIC_URL) must be a scheme and a host without a path, such as \
                 https://chat.example.com."
                    .into(),
            );
        }
        if self.link_lifetime < Duration::from_secs(1) {
            problems.push(
                "media.link_lifetime (MESSAGING_MEDIA_LINK_LIFETIME) must be at least 1s.".into(),
            );
        }
        if !matches!(place, Ok(Some(_))) {
            return;
        }
        if self.signing_key.is_empty() && auth.jwt_secret.is_empty() {
            problems.push(
                "media.signing_key (MESSAGING_MEDIA_SIGNING_KEY) must be set where tokens are checked without a \
                 shared secret: links are signed with it."
                    .into(),
            );
        }
        let Ok(Some(Place::Bucket { bucket, .. })) = place else { return };
        if bucket.is_empty() {
            problems.push("media.s3.bucket (MINIO_BUCKET) must be set.".into());
        }
        if self.s3.access_key.is_empty() != self.s3.secret_key.is_empty() {
            problems.push(
                "media.s3.access_key and media.s3.secret_key (MINIO_ACCESS_KEY, MINIO_SECRET_KEY) must be set \
                 together."
                    .into(),
            );
        }
    }
}

impl S3 {
    /// The URL of the server; `None` for Amazon's own.
    pub fn endpoint(&self) -> Option<String> {
        if self.endpoint.is_empty() {
            return None;
        }
        if self.endpoint.contains("://") {
            return Some(self.endpoint.trim_end_matches('/').to_owned());
        }
        let scheme = if self.tls { "https" } else { "http" };
        Some(format!("{scheme}://{}:{}", self.endpoint, self.port))
    }
}

/// A scheme and a host, and nothing behind.
fn is_base(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@\\".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn media(vars: &[(&str, &str)]) -> Media {
        let found =
            |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        load(None, found).expect("a config").media
    }

    #[test]
    fn the_place_is_a_folder_a_bucket_or_nowhere() {
        assert_eq!(media(&[]).place(), Ok(None));
        assert_eq!(
            media(&[("MESSAGING_MEDIA_URL", "file:///srv/media")]).place(),
            Ok(Some(Place::Folder("/srv/media".into())))
        );
        let bucket = |bucket: &str, prefix: &str| {
            Ok(Some(Place::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
        };
        let minio = media(&[("MINIO_ENDPOINT", "minio"), ("MINIO_PORT", "9001")]);
        assert_eq!(minio.place(), bucket("messaging", ""));
        assert_eq!(minio.s3.endpoint().as_deref(), Some("http://minio:9001"));
        let amazon = media(&[("MESSAGING_MEDIA_URL", "s3://photos/chat/")]);
        assert_eq!(amazon.place(), bucket("photos", "chat"));
        assert_eq!(amazon.s3.endpoint(), None);
        for wrong in ["file://relative", "s3://", "ftp://x", "/srv"] {
            assert!(media(&[("MESSAGING_MEDIA_URL", wrong)]).place().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_for_files_needs_something_to_sign_with() {
        let config = |vars: &[(&str, &str)]| {
            let found =
                |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            load(None, found).expect("a config").problems()
        };
        let jwks = [
            ("MESSAGING_JWT_ALGORITHM", "ES256"),
            ("MESSAGING_JWKS_URL", "https://id.example/keys"),
            ("MESSAGING_MEDIA_URL", "file:///srv/media"),
        ];
        let problems = config(&jwks);
        assert!(problems.iter().any(|p| p.contains("MESSAGING_MEDIA_SIGNING_KEY")), "{problems:?}");
        let with_key = [&jwks[..], &[("MESSAGING_MEDIA_SIGNING_KEY", "s")]].concat();
        assert_eq!(config(&with_key), Vec::<String>::new());
    }
}
