//! The types of files there are, and what may be said about one that is on its way.

use super::error::Refused;

/// What a file is used as in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A picture; may move.
    Image,
    /// A film.
    Video,
    /// Sound alone.
    Audio,
    /// Anything else, to be downloaded.
    File,
}

/// What a file's content was recognised as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG, with or without progression.
    Jpeg,
    /// PNG, moving ones included.
    Png,
    /// GIF.
    Gif,
    /// WebP, moving ones included.
    Webp,
    /// The ISO family. Whether it is a film or sound alone, its tracks tell.
    Iso(Brand),
    /// WebM. Whether it is a film or sound alone, its tracks tell.
    Webm,
    /// MPEG audio, layer III.
    Mp3,
    /// AAC in ADTS frames.
    Aac,
    /// Ogg with Opus, Vorbis or Speex.
    Ogg,
    /// RIFF WAVE.
    Wav,
    /// FLAC.
    Flac,
    /// Adaptive multi-rate, narrow or wide band.
    Amr,
    /// PDF.
    Pdf,
    /// A ZIP archive, or a type of document that is one; its MIME type.
    Zip(&'static str),
    /// A document of an older office program; which, its list of contents tells.
    Ole,
    /// UTF-8 text; its MIME type.
    Text(&'static str),
    /// A file that is only stored; its MIME type.
    Other(&'static str),
}

/// The families of ISO files that differ in name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Brand {
    /// MP4, and M4V.
    Mp4,
    /// MP4 that says of itself that it is sound.
    M4a,
    /// QuickTime.
    QuickTime,
    /// 3GPP.
    ThreeGp,
}

/// The MIME types of older office documents.
pub(super) const OLE: [&str; 3] =
    ["application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"];

/// The MIME type of a ZIP archive that is nothing more.
pub(super) const ZIP: &str = "application/zip";

impl Format {
    /// The MIME type, as it is told to clients. A film's, where it may turn out to be sound alone.
    #[must_use]
    pub fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Iso(Brand::Mp4) => "video/mp4",
            Self::Iso(Brand::M4a) => "audio/mp4",
            Self::Iso(Brand::QuickTime) => "video/quicktime",
            Self::Iso(Brand::ThreeGp) => "video/3gpp",
            Self::Webm => "video/webm",
            Self::Mp3 => "audio/mpeg",
            Self::Aac => "audio/aac",
            Self::Ogg => "audio/ogg",
            Self::Wav => "audio/wav",
            Self::Flac => "audio/flac",
            Self::Amr => "audio/amr",
            Self::Pdf => "application/pdf",
            Self::Ole => "application/x-ole-storage",
            Self::Zip(mime) | Self::Text(mime) | Self::Other(mime) => mime,
        }
    }

    /// The MIME type of a container without pictures.
    #[must_use]
    pub fn sound_mime(self) -> &'static str {
        match self {
            Self::Iso(Brand::Mp4 | Brand::M4a | Brand::QuickTime) => "audio/mp4",
            Self::Iso(Brand::ThreeGp) => "audio/3gpp",
            Self::Webm => "audio/webm",
            other => other.mime(),
        }
    }

    /// What it is used as.
    #[must_use]
    pub fn kind(self) -> Kind {
        kind_of(self.mime())
    }

    /// Whether it is a container that may hold a film or sound alone.
    fn is_container(self) -> bool {
        matches!(self, Self::Iso(_) | Self::Webm)
    }
}

/// What files of a MIME type are used as.
#[must_use]
pub fn kind_of(mime: &str) -> Kind {
    match mime.split('/').next() {
        Some("image") => Kind::Image,
        Some("video") => Kind::Video,
        Some("audio") => Kind::Audio,
        _ => Kind::File,
    }
}

/// The MIME types that are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    types: Vec<String>,
}

impl Allowed {
    /// From MIME types, `image/png` or `image/*`.
    pub fn new(types: impl IntoIterator<Item = String>) -> Self {
        Self { types: types.into_iter().map(|mime| mime.to_ascii_lowercase()).collect() }
    }

    /// Whether files of this type are taken.
    #[must_use]
    pub fn permits(&self, mime: &str) -> bool {
        self.types.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => mime.starts_with(prefix),
            None => allowed == mime,
        })
    }

    /// Whether files of this format may be taken; of a container that is not known before its tracks are.
    pub(super) fn check_format(&self, format: Format) -> Result<(), Refused> {
        if format.is_container() && self.permits(format.sound_mime()) {
            return Ok(());
        }
        if format == Format::Ole && OLE.iter().any(|mime| self.permits(mime)) {
            return Ok(());
        }
        self.check(format.mime())
    }

    /// Whether files of this type are taken.
    pub(super) fn check(&self, mime: &'static str) -> Result<(), Refused> {
        if self.permits(mime) { Ok(()) } else { Err(Refused::NotAllowed(mime)) }
    }
}

/// Compares what the sender says with what the content is. A sender who says nothing, or that it is just bytes, is not
/// wrong; a picture may be of another picture's type, and a sound of another sound's, because phones confuse those; it
/// is stored as what it is.
pub(super) fn compare(claimed: Option<&str>, format: Format) -> Result<(), Refused> {
    let Some(claimed) = claimed.and_then(essence) else {
        return Ok(());
    };
    if claimed == "application/octet-stream" || claimed == "binary/octet-stream" {
        return Ok(());
    }
    let same = match (claimed_kind(&claimed), format.kind()) {
        (Kind::Video, Kind::Audio) | (Kind::Audio, Kind::Video) => same_container(&claimed, format),
        // Some systems call every table a spreadsheet.
        (Kind::File, Kind::File) if claimed == "application/vnd.ms-excel" => {
            matches!(format, Format::Ole | Format::Text(_))
        }
        (Kind::File, Kind::File) => match (family(&claimed), family(format.mime())) {
            (Some(claimed), Some(found)) => claimed == found,
            _ => true,
        },
        (claimed, found) => claimed == found,
    };
    if same && !is_active(&claimed) { Ok(()) } else { Err(Refused::Mismatch) }
}

/// The type without its parameters, in lower case; `None` when there is none.
pub(super) fn essence(claimed: &str) -> Option<String> {
    let essence = claimed.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!essence.is_empty()).then_some(essence)
}

fn claimed_kind(claimed: &str) -> Kind {
    match claimed {
        "application/ogg" => Kind::Audio,
        "application/mp4" => Kind::Video,
        other => kind_of(other),
    }
}

/// Whether a claim that it is a film may be about this sound, or the other way round: containers hold either.
fn same_container(claimed: &str, format: Format) -> bool {
    match claimed.split('/').nth(1).unwrap_or_default() {
        "mp4" | "x-m4a" | "m4a" | "x-m4v" | "quicktime" | "3gpp" | "3gpp2" | "aac" => {
            matches!(format, Format::Iso(_))
        }
        "webm" | "x-matroska" => format == Format::Webm,
        "ogg" => format == Format::Ogg,
        _ => false,
    }
}

/// Types that a browser would run: nothing is stored that was sent as one of them, whatever is in it.
fn is_active(claimed: &str) -> bool {
    matches!(
        claimed,
        "text/html"
            | "text/javascript"
            | "text/xml"
            | "text/xsl"
            | "text/css"
            | "application/javascript"
            | "application/x-javascript"
            | "application/xml"
            | "application/wasm"
            | "application/x-msdownload"
            | "application/x-sh"
            | "application/java-archive"
    ) || claimed.ends_with("+xml")
}

/// What kinds of files can be told apart by their content: a claim within the same family is believed, or does no harm.
fn family(mime: &str) -> Option<&'static str> {
    Some(match mime {
        "application/pdf" => "pdf",
        "application/rtf" | "text/rtf" => "rtf",
        "application/json" | "application/ndjson" | "application/x-ndjson" => "text",
        "application/msword"
        | "application/vnd.ms-excel"
        | "application/vnd.ms-powerpoint"
        | "application/x-ole-storage" => "ole",
        ZIP | "application/x-zip-compressed" | "application/epub+zip" => "zip",
        "application/gzip" | "application/x-gzip" => "gzip",
        "application/x-tar" => "tar",
        "application/vnd.rar" | "application/x-rar-compressed" => "rar",
        "application/x-7z-compressed" => "7z",
        _ if mime.starts_with("application/vnd.openxmlformats-officedocument.")
            || mime.starts_with("application/vnd.oasis.opendocument.") =>
        {
            "zip"
        }
        _ if mime.starts_with("text/") => "text",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_of_another_kind_is_refused_and_one_of_the_same_is_not() {
        for (claimed, format) in [
            (None, Format::Jpeg),
            (Some(""), Format::Jpeg),
            (Some("application/octet-stream"), Format::Mp3),
            (Some("image/png"), Format::Jpeg),
            (Some("Image/JPEG; q=1"), Format::Jpeg),
            (Some("audio/mp4"), Format::Iso(Brand::Mp4)),
            (Some("audio/x-m4a"), Format::Iso(Brand::M4a)),
            (Some("audio/mpeg"), Format::Iso(Brand::M4a)),
            (Some("audio/3gpp"), Format::Amr),
            (Some("audio/aac"), Format::Iso(Brand::Mp4)),
            (Some("application/vnd.ms-excel"), Format::Text("text/plain")),
            (Some("application/vnd.ms-excel"), Format::Ole),
            (Some("video/webm; codecs=opus"), Format::Webm),
            (Some("audio/webm;codecs=opus"), Format::Webm),
            (Some("video/ogg"), Format::Ogg),
            (Some("text/csv"), Format::Text("text/csv")),
            (
                Some("application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
                Format::Zip(ZIP),
            ),
            (Some("application/x-something"), Format::Pdf),
        ] {
            assert_eq!(compare(claimed, format), Ok(()), "{claimed:?} {format:?}");
        }
        for (claimed, format) in [
            ("image/png", Format::Pdf),
            ("image/jpeg", Format::Text("text/plain")),
            ("text/plain", Format::Jpeg),
            ("video/mp4", Format::Mp3),
            ("video/mp4", Format::Jpeg),
            ("audio/webm", Format::Iso(Brand::Mp4)),
            ("application/pdf", Format::Zip(ZIP)),
            ("application/zip", Format::Pdf),
            ("application/vnd.ms-excel", Format::Zip(ZIP)),
            ("application/msword", Format::Text("text/plain")),
            ("text/html", Format::Text("text/plain")),
            ("image/svg+xml", Format::Jpeg),
            ("application/xhtml+xml", Format::Text("text/plain")),
        ] {
            assert_eq!(
                compare(Some(claimed), format),
                Err(Refused::Mismatch),
                "{claimed} {format:?}"
            );
        }
    }

    #[test]
    fn a_list_of_types_names_them_or_all_of_a_kind() {
        let allowed = Allowed::new(["image/*", "Audio/MP4", "application/pdf"].map(String::from));
        assert!(allowed.permits("image/png"));
        assert!(!allowed.permits("video/mp4"));
        assert_eq!(allowed.check_format(Format::Iso(Brand::Mp4)), Ok(()));
        assert_eq!(allowed.check("video/mp4"), Err(Refused::NotAllowed("video/mp4")));
        assert_eq!(allowed.check_format(Format::Mp3), Err(Refused::NotAllowed("audio/mpeg")));
    }
}
