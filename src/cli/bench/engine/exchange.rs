//! One readiness of one socket.

use mio::event::Event;

use crate::cli::bench::frame::{self, Fill, Received};

use super::link::{self, Connection, State};
use super::world::{Trouble, World};

/// Everything that one readiness of a socket allows.
pub fn exchange(
    world: &mut World,
    Connection { inbox, link }: &mut Connection,
    event: &Event,
    buffer: &mut Vec<u8>,
    host: &str,
    token: &str,
) -> Result<(), Trouble> {
    if event.is_writable() {
        if link.state == State::Connecting && !link.upgrade(world.protocol, host, token)? {
            return Ok(());
        }
        link.flush()?;
    }
    if !(event.is_readable() || event.is_read_closed()) || link.state == State::Connecting {
        return Ok(());
    }
    loop {
        let (valid, fill) = inbox.fill(&mut link.stream, buffer)?;
        world.tick();
        let bytes = &buffer[..valid];
        let mut at = 0;
        if link.state == State::Upgrading
            && let Some(frames) = link::upgraded(bytes).map_err(Trouble::Rejected)?
        {
            at = frames;
            link.state = State::Greeting;
        }
        while link.state != State::Upgrading
            && let Some(received) = inbox.next(bytes, &mut at)?
        {
            match received {
                Received::Text(text) if link.state == State::Ready => world.text(link, text)?,
                Received::Text(text) => world.greeting(link, text, token)?,
                Received::Ping(payload) => link.write(&frame::pong(payload))?,
                Received::Close(code, why) => return Err(Trouble::Closed(code, why)),
                Received::Nothing => {}
            }
        }
        inbox.keep(&bytes[at..]);
        match fill {
            Fill::More => {}
            // The end may lie right behind what was read, and no other event would tell.
            Fill::Drained if event.is_read_closed() => {}
            Fill::Drained => return Ok(()),
            Fill::End => return Err(Trouble::Ended),
        }
    }
}
