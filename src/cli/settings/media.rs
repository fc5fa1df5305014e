//! Files: where they are kept, and what is taken.

use crate::config::{self, Config, Place};
use crate::edge::media::{Settings, StoreSettings};
use crate::media::accept::Rules;
use crate::media::inspect::{Allowed, ImageLimits};
use crate::media::objects::{Location, S3};

use super::given;

/// Which files the edge takes and hands out.
///
/// # Errors
/// When the place for files makes no sense.
pub fn media(config: &Config) -> anyhow::Result<Settings> {
    let media = &config.media;
    let store = place(media)?.map(|location| StoreSettings {
        location,
        rules: rules(media),
        secret: media.signing_key.non_empty().unwrap_or(config.auth.jwt_secret.expose()).into(),
        link_lifetime: media.link_lifetime,
        orphans_after: media.orphans_after,
        uploads: media.uploads,
        uploads_per_user: media.uploads_per_user,
        upload_bytes_per_second: media.upload_bytes_per_second,
    });
    Ok(Settings {
        public_url: media.public_url.clone(),
        allowed_hosts: media.allowed_hosts.clone(),
        spool: given(&media.spool).unwrap_or_else(|| std::env::temp_dir().join("messaging-spool")),
        store,
    })
}

/// Where files are kept, if anywhere.
///
/// # Errors
/// When it makes no sense.
pub fn place(media: &config::Media) -> anyhow::Result<Option<Location>> {
    let place = media.place().map_err(anyhow::Error::msg)?;
    Ok(place.map(|place| match place {
        Place::Folder(path) => Location::Folder(path),
        Place::Bucket { bucket, prefix } => {
            let s3 = &media.s3;
            let public = &s3.public_endpoint;
            Location::S3(S3 {
                endpoint: s3.endpoint(),
                public_endpoint: (!public.is_empty()).then(|| public.clone()),
                bucket,
                region: s3.region.clone(),
                access_key: s3.access_key.clone(),
                secret_key: s3.secret_key.expose().to_owned(),
                prefix,
            })
        }
    }))
}

fn rules(media: &config::Media) -> Rules {
    Rules {
        allowed: Allowed::new(media.types.iter().cloned()),
        image: ImageLimits { max_pixels: media.max_pixels, ..ImageLimits::default() },
        max_image_bytes: media.max_image_bytes,
        max_video_bytes: media.max_video_bytes,
        max_audio_bytes: media.max_audio_bytes,
        max_file_bytes: media.max_file_bytes,
    }
}
