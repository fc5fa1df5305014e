//! By what a message of the load generator is known.

use memchr::memmem;

/// Who sent a message, its number among the sender's, and when it was due (nanoseconds of the run).
/// Travels in the content, in front of its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub sender: u32,
    pub number: u32,
    pub due: u64,
}

/// What a stamp begins with.
const MARK: &[u8; 2] = b"^:";
/// The mark, the sender, the number and the time in signs, and a space.
pub const STAMP_BYTES: usize = 2 + 8 + 8 + 16 + 1;
/// The shortest content that carries a [`Stamp`].
pub const MIN_CONTENT_BYTES: usize = STAMP_BYTES;

/// Signs and no letters: a stamp would be a word of its own in each message, and the index of words, which is
/// measured as well, would hold more of those than of anything that people write.
const SIGNS: &[u8; 16] = b"!#$%()*+,-;=?|~}";

impl Stamp {
    /// Finds the stamp in the text of a message or of a frame that holds one.
    pub fn find(text: &[u8]) -> Option<Self> {
        let at = memmem::find(text, b"\"content\":\"^:")? + 13;
        let signs = text.get(at..at + STAMP_BYTES - MARK.len() - 1)?;
        Some(Self {
            sender: value(&signs[..8])? as u32,
            number: value(&signs[8..16])? as u32,
            due: value(&signs[16..])?,
        })
    }

    /// Writes it into [`STAMP_BYTES`] bytes.
    pub fn write(self, out: &mut [u8]) {
        out[..2].copy_from_slice(MARK);
        signs(self.sender.into(), &mut out[2..10]);
        signs(self.number.into(), &mut out[10..18]);
        signs(self.due, &mut out[18..34]);
        out[34] = b' ';
    }
}

fn signs(mut value: u64, out: &mut [u8]) {
    for sign in out.iter_mut().rev() {
        *sign = SIGNS[(value & 15) as usize];
        value >>= 4;
    }
}

fn value(signs: &[u8]) -> Option<u64> {
    signs.iter().try_fold(0, |value, sign| {
        let digit = SIGNS.iter().position(|one| one == sign)?;
        Some(value << 4 | digit as u64)
    })
}
