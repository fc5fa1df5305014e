//! The client's side of WebSocket framing (RFC 6455), no more than a load generator needs.
//!
//! Frames are parsed in place in one buffer that all connections share, so an idle connection owns no
//! buffer at all. Whatever is left of an incomplete frame moves into the connection's [`Inbox`] until
//! the rest arrives. Frames to the server carry a masking key of zero: legal, and free.

use std::io::{self, Read};

/// The longest frame that is accepted. The service's own frames end at some hundred KiB (a `connected`
/// or a `conversationUpdated` with 50 participants is below 32 KiB); beyond 4 MiB something is broken.
const MAX_FRAME_BYTES: usize = 4 << 20;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// What the other side did that RFC 6455 does not allow, or that is larger than any sane frame.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    #[error("a frame from the server was masked")]
    Masked,
    #[error("a frame of {0} bytes is over the limit")]
    TooLong(u64),
    #[error("a frame with the unknown opcode {0}")]
    Opcode(u8),
    #[error("a continuation without a beginning, or a beginning inside a message")]
    Continuation,
}

/// A frame as it lies in the buffer.
#[derive(Debug, PartialEq, Eq)]
struct Frame<'a> {
    last: bool,
    opcode: u8,
    payload: &'a [u8],
    /// Header and payload.
    length: usize,
}

/// Finds the first frame of `bytes`; `None` when more is needed.
fn parse(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    let (header, length) = match second & 0x7F {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    let payload = usize::try_from(length).ok().filter(|n| *n <= MAX_FRAME_BYTES);
    let length = header + payload.ok_or(FrameError::TooLong(length))?;
    let Some(payload) = bytes.get(header..length) else { return Ok(None) };
    Ok(Some(Frame { last: first & 0x80 != 0, opcode: first & 0x0F, payload, length }))
}

/// A message or a control frame, whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    /// The code, 1005 when there was none, and the reason.
    Close(u16, String),
    /// A pong or a binary message: of no interest.
    Nothing,
}

/// How a read ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Fill {
    /// The socket is empty for now.
    Drained,
    /// There may be more: the buffer was filled to its end.
    More,
    /// The other side has closed.
    End,
}

/// What a connection keeps between reads.
#[derive(Debug, Default)]
pub struct Inbox {
    /// The beginning of a frame whose rest has not arrived.
    partial: Vec<u8>,
    /// The beginning of a fragmented message.
    message: Vec<u8>,
    fragmented: bool,
}

impl Inbox {
    /// Reads once from `stream` into `buffer`, behind what the last read left over.
    ///
    /// Answers how many bytes of `buffer` are now valid, and how the read ended.
    pub fn fill(
        &mut self,
        stream: &mut impl Read,
        buffer: &mut Vec<u8>,
    ) -> io::Result<(usize, Fill)> {
        let kept = self.partial.len();
        if buffer.len() < kept * 2 {
            // Only a frame longer than the shared buffer comes here; `parse` bounds it.
            buffer.resize(kept * 2, 0);
        }
        buffer[..kept].copy_from_slice(&self.partial);
        loop {
            return match stream.read(&mut buffer[kept..]) {
                Ok(0) => Ok((kept, Fill::End)),
                Ok(read) if kept + read == buffer.len() => Ok((kept + read, Fill::More)),
                Ok(read) => Ok((kept + read, Fill::Drained)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok((kept, Fill::Drained)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
        }
    }

    /// Keeps the bytes that [`Inbox::next`] could not use yet.
    pub fn keep(&mut self, rest: &[u8]) {
        self.partial.clear();
        if rest.is_empty() && self.partial.capacity() > 4096 {
            // A rare long frame must not cost an idle connection its memory for ever.
            self.partial = Vec::new();
        }
        self.partial.extend_from_slice(rest);
    }

    /// The next message in `bytes` from `at`, which moves behind it; `None` when more is needed.
    pub fn next<'a>(
        &'a mut self,
        bytes: &'a [u8],
        at: &mut usize,
    ) -> Result<Option<Received<'a>>, FrameError> {
        let Some(frame) = parse(&bytes[*at..])? else { return Ok(None) };
        *at += frame.length;
        match frame.opcode {
            TEXT | BINARY if self.fragmented => Err(FrameError::Continuation),
            TEXT if frame.last => Ok(Some(Received::Text(frame.payload))),
            BINARY if frame.last => Ok(Some(Received::Nothing)),
            TEXT | BINARY => self.begin(frame.payload),
            CONTINUATION => self.proceed(&frame),
            PING => Ok(Some(Received::Ping(frame.payload))),
            PONG => Ok(Some(Received::Nothing)),
            CLOSE => Ok(Some(close(frame.payload))),
            other => Err(FrameError::Opcode(other)),
        }
    }

    fn begin(&mut self, payload: &[u8]) -> Result<Option<Received<'_>>, FrameError> {
        self.message.clear();
        self.message.extend_from_slice(payload);
        self.fragmented = true;
        Ok(Some(Received::Nothing))
    }

    fn proceed(&mut self, frame: &Frame<'_>) -> Result<Option<Received<'_>>, FrameError> {
        if !self.fragmented {
            return Err(FrameError::Continuation);
        }
        let length = self.message.len() + frame.payload.len();
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong(length as u64));
        }
        self.message.extend_from_slice(frame.payload);
        self.fragmented = !frame.last;
        Ok(Some(if frame.last { Received::Text(&self.message) } else { Received::Nothing }))
    }
}

fn close(payload: &[u8]) -> Received<'static> {
    match payload.split_first_chunk::<2>() {
        Some((code, reason)) => {
            Received::Close(u16::from_be_bytes(*code), String::from_utf8_lossy(reason).into_owned())
        }
        None => Received::Close(1005, String::new()),
    }
}

fn put(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        middle @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// A whole text frame to the server.
pub fn text(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    put(&mut out, TEXT, payload);
    out
}

/// The answer to a ping.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    put(&mut out, PONG, payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a server sends it: not masked.
    fn served(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, first & 0x0F, payload);
        out[0] = first;
        out[1] &= 0x7F;
        let header = out.len() - payload.len() - 4;
        out.drain(header..header + 4);
        out
    }

    /// Everything that arrives when `wire` is read in pieces of `step` bytes.
    fn received(wire: &[u8], step: usize) -> Vec<String> {
        let (mut inbox, mut buffer, mut seen) = (Inbox::default(), vec![0; 64], Vec::new());
        for piece in wire.chunks(step) {
            let mut stream = piece;
            while !stream.is_empty() {
                let (valid, _) = inbox.fill(&mut stream, &mut buffer).unwrap();
                let mut at = 0;
                while let Some(received) = inbox.next(&buffer[..valid], &mut at).unwrap() {
                    seen.push(match received {
                        Received::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                        other => format!("{other:?}"),
                    });
                }
                inbox.keep(&buffer[at..valid]);
            }
        }
        seen
    }

    #[test]
    fn every_length_form_survives_reads_of_any_size() {
        let texts = [5, 125, 126, 300, 65_535, 65_536, 70_000].map(|n| "x".repeat(n));
        let wire: Vec<u8> = texts.iter().flat_map(|t| served(0x81, t.as_bytes())).collect();
        for step in [1, 2, 7, 63, 64, 1000, wire.len()] {
            assert!(received(&wire, step) == texts, "in steps of {step}");
        }
    }

    #[test]
    fn pings_and_closes_are_told_apart_and_may_stand_inside_a_fragmented_message() {
        let mut wire = served(0x01, b"one ");
        wire.extend(served(0x89, b"beat"));
        wire.extend(served(0x00, b"two "));
        wire.extend(served(0x80, b"three"));
        wire.extend(served(0x88, &[0x11, 0x39, b's']));
        wire.extend(served(0x88, b""));
        for step in [1, 3, 64] {
            let seen: Vec<_> =
                received(&wire, step).into_iter().filter(|r| r != "Nothing").collect();
            let ping = format!("{:?}", Received::Ping(b"beat"));
            let closes = [(4409, "s"), (1005, "")]
                .map(|(code, why)| format!("{:?}", Received::Close(code, why.to_owned())));
            assert_eq!(seen, [&ping, "one two three", &closes[0], &closes[1]]);
        }
    }

    #[test]
    fn broken_frames_are_errors_rather_than_guesses() {
        let mut inbox = Inbox::default();
        let mut next = |wire: &[u8]| inbox.next(wire, &mut 0).map(|r| r.is_some()).unwrap_err();
        assert_eq!(next(&[0x81, 0x81, 0, 0, 0, 0, 1]), FrameError::Masked);
        assert_eq!(next(&[0x83, 0x00]), FrameError::Opcode(3));
        assert_eq!(next(&[0x80, 0x00]), FrameError::Continuation);
        let long = [0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0];
        assert_eq!(next(&long), FrameError::TooLong(1 << 40));
    }

    #[test]
    fn frames_to_the_server_are_masked_with_a_key_that_changes_nothing() {
        assert_eq!(text(b"hi"), [0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(text(&[b'x'; 200])[..8], [0x81, 0xFE, 0, 200, 0, 0, 0, 0]);
        assert_eq!(pong(b"")[..], [0x8A, 0x80, 0, 0, 0, 0]);
    }
}
