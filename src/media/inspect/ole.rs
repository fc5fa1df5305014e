//! Documents of older office programs: a small file system, whose list of contents names the program.

use std::io::{Read, Seek};

use memchr::memmem;

use super::error::{Error, Refused};
use super::source::Source;

/// The mark of the family.
pub(super) const MARK: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// How much of the list is looked at: 64 entries of 128 bytes. A document has about ten, and its program's own are
/// among the first.
const LIST: u64 = 8192;

/// Which program's it is, by the name of its main stream. One that holds macros is refused.
pub(super) fn mime<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<&'static str, Error> {
    source.go_to(30)?;
    let sector = match source.array()? {
        [9, 0] => 512,
        [12, 0] => 4096,
        _ => return Err(Refused::Damaged("its header is not valid").into()),
    };
    source.go_to(48)?;
    let first = u64::from(u32::from_le_bytes(source.array()?));
    source.go_to((first + 1) * sector)?;
    let list = source.take(LIST.min(source.left()))?;
    let has = |name: &str| {
        // A name is at the beginning of its entry, in UTF-16, and ends with a zero.
        let wide: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        memmem::find_iter(&list, &wide).any(|at| at % 128 == 0)
    };
    if ["Macros", "_VBA_PROJECT_CUR", "VBA", "_VBA_PROJECT"].into_iter().any(has) {
        return Err(
            Refused::Unsupported("programs, and documents with macros, are not accepted").into()
        );
    }
    let programs = [
        ("WordDocument", "application/msword"),
        ("Workbook", "application/vnd.ms-excel"),
        ("Book", "application/vnd.ms-excel"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ];
    let found = programs.into_iter().find(|(name, _)| has(name)).map(|(_, mime)| mime);
    Ok(found.ok_or(Refused::Type)?)
}
