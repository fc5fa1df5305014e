//! The configuration, keys, Google, and where files are.

use std::time::Duration;

use uuid::Uuid;

use super::{Findings, Level};
use crate::cli::settings;
use crate::config::{Algorithm, Config};
use crate::media::objects::{Object, ObjectError, Objects};

/// How long others may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a secret that cannot be guessed: as many as the signature has (RFC 7518, section 3.2).
const SECRET: usize = 32;

/// What cannot be right.
pub fn configuration(config: &Config, findings: &mut Findings) {
    let problems = config.problems();
    if problems.is_empty() {
        findings.fine("configuration", "everything in it makes sense");
    }
    for problem in problems {
        findings.add(
            "configuration",
            Level::Problem,
            problem,
            "`messaging serve --check` prints all of it.",
        );
    }
}

/// What tokens are checked with.
pub async fn keys(config: &Config, findings: &mut Findings) {
    let auth = &config.auth;
    if auth.algorithm == Algorithm::HS256 {
        let bytes = auth.jwt_secret.expose().len();
        if bytes > 0 {
            findings.check(
                "tokens",
                bytes >= SECRET,
                format!("the secret of tokens has {bytes} bytes"),
                if bytes < SECRET / 2 { Level::Problem } else { Level::Warning },
                "Who has one token can try secrets at home: use 32 random bytes (`openssl rand -hex 32`).",
            );
        }
        return;
    }
    let Some(url) = auth.jwks_url() else { return };
    match get(url).await {
        Ok(response) if response.status().is_success() => {
            findings.fine("tokens", "the keys of tokens can be fetched");
        }
        Ok(response) => findings.add(
            "tokens",
            Level::Problem,
            format!("the keys of tokens are not there: {}", response.status()),
            "Correct MESSAGING_JWKS_URL.",
        ),
        Err(cause) => findings.add(
            "tokens",
            Level::Problem,
            format!("the keys of tokens cannot be fetched: {cause}"),
            "Correct MESSAGING_JWKS_URL, or let this machine reach it.",
        ),
    }
}

/// Who we are to Google, and whether it can be reached.
pub async fn push(config: &Config, findings: &mut Findings) {
    const AREA: &str = "push";
    match settings::google(&config.push) {
        Ok(None) => {
            findings.add(
                AREA,
                Level::Warning,
                "notifications are off",
                "Set GOOGLE_APPLICATION_CREDENTIALS, or the three of FIREBASE_…, if they are wanted.",
            );
            return;
        }
        Ok(Some(_)) => findings.fine(AREA, "the service account can be read"),
        Err(cause) => {
            let advice = "Download the service account's key anew.";
            findings.add(AREA, Level::Problem, cause.to_string(), advice);
            return;
        }
    }
    // Whatever it answers to this, it is there.
    match get(&config.push.fcm_url).await {
        Ok(_) => findings
            .fine(AREA, "Google can be reached; `messaging admin push test` sends something"),
        Err(cause) => findings.add(
            AREA,
            Level::Problem,
            format!("Google cannot be reached: {cause}"),
            "Let the push role reach fcm.googleapis.com and oauth2.googleapis.com on port 443.",
        ),
    }
}

/// Whether files can be read where they are kept.
pub async fn media(config: &Config, findings: &mut Findings) {
    const AREA: &str = "files";
    let place = match settings::place(&config.media) {
        Ok(Some(place)) => place,
        Ok(None) => {
            let advice = "Set MESSAGING_MEDIA_URL if people are to share files.";
            findings.add(AREA, Level::Warning, "files are off", advice);
            return;
        }
        // Said with the configuration.
        Err(_) => return,
    };
    let advice = "Correct MESSAGING_MEDIA_URL and the MINIO_… settings, and let this user read and write there.";
    let objects = match Objects::open(&place) {
        Ok(objects) => objects,
        Err(cause) => {
            findings.add(AREA, Level::Problem, cause, advice);
            return;
        }
    };
    match tokio::time::timeout(PATIENCE, objects.size(Object::Original(Uuid::nil()))).await {
        Ok(Ok(_) | Err(ObjectError::NotFound)) => findings.fine(AREA, "the store of files answers"),
        Ok(Err(cause)) => findings.add(AREA, Level::Problem, cause.to_string(), advice),
        Err(_) => findings.add(AREA, Level::Problem, "the store of files does not answer", advice),
    }
}

async fn get(url: &str) -> Result<reqwest::Response, reqwest::Error> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    client.get(url).send().await.map_err(reqwest::Error::without_url)
}
