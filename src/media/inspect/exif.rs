//! The one thing that EXIF is read for: which way up a picture is.

use image::metadata::Orientation;

/// What a block of EXIF may be long. In a JPEG it is never more than 64 KiB, elsewhere more is not read.
pub(super) const MAX_LEN: u64 = 64 << 10;

/// The orientation that a block of EXIF names, beginning with its TIFF header. `None` when it names none, or is not
/// valid.
pub(super) fn orientation(tiff: &[u8]) -> Option<Orientation> {
    let tiff = tiff.strip_prefix(b"Exif\0\0").unwrap_or(tiff);
    let little = match tiff.get(..4)? {
        b"II\x2a\0" => true,
        b"MM\0\x2a" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = [*tiff.get(at)?, *tiff.get(at.checked_add(1)?)?];
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = usize::try_from(long(4)?).ok()?;
    // At most 65,535 entries of 12 bytes, which is more than a block holds.
    for index in 0..usize::from(short(directory)?) {
        let entry = directory.checked_add(2 + index * 12)?;
        if short(entry)? == ORIENTATION {
            return Orientation::from_exif(u8::try_from(short(entry.checked_add(8)?)?).ok()?);
        }
    }
    None
}

/// The tag of the field.
const ORIENTATION: u16 = 0x0112;

/// A block of EXIF that names the orientation and nothing else.
pub(super) fn minimal(orientation: Orientation) -> Vec<u8> {
    let mut tiff = b"MM\0\x2a\0\0\0\x08\0\x01".to_vec();
    tiff.extend(ORIENTATION.to_be_bytes());
    // One value of two bytes, at the left of its field of four.
    tiff.extend([0, 3, 0, 0, 0, 1, 0, orientation.to_exif(), 0, 0]);
    // No further directory.
    tiff.extend([0; 4]);
    tiff
}

/// Whether width and height change places.
pub(super) fn swaps(orientation: Orientation) -> bool {
    orientation.to_exif() >= 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orientation_is_read_in_both_byte_orders_and_nonsense_has_none() {
        for exif in 1..=8 {
            let wanted = Orientation::from_exif(exif).unwrap();
            assert_eq!(orientation(&minimal(wanted)), Some(wanted));
        }
        let little = b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        assert_eq!(orientation(little), Some(Orientation::Rotate90));
        for broken in [
            &b""[..],
            b"II\x2a\0",
            b"II\x2a\0\xff\xff\xff\xff",
            b"MM\0\x2a\0\0\0\x08\xff\xff",
            b"no exif",
        ] {
            assert_eq!(orientation(broken), None);
        }
    }
}
