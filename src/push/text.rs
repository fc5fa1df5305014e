//! A message in the few words that a notification shows.

use unicode_segmentation::UnicodeSegmentation;

use crate::domain::message::MessageType;

/// Longest title, in characters: no device shows more in a line.
const MAX_TITLE_CHARS: usize = 64;
/// When nobody is known by a name.
const NAMELESS: &str = "New message";

/// What the words are made of.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub kind: MessageType,
    pub content: &'a str,
    /// Of a file.
    pub file_name: Option<&'a str>,
    /// `None` for somebody whose name nobody has told.
    pub sender: Option<&'a str>,
    /// `None` in a direct conversation.
    pub group: Option<&'a str>,
}

/// Title and body. The sender is the title; in a group its title is, and the sender stands in the body.
///
/// `preview_chars` bounds what is shown of the message, without the sender's name.
pub fn title_and_body(source: &Source<'_>, preview_chars: usize) -> (String, String) {
    let says = says(source, preview_chars);
    let named = |name: Option<&str>| {
        name.map(|name| cut(name, MAX_TITLE_CHARS)).filter(|name| !name.is_empty())
    };
    let (group, sender) = (named(source.group), named(source.sender));
    match (group, sender) {
        // A service speaks for itself.
        (Some(group), _) if source.kind == MessageType::System => (group, says),
        (Some(group), Some(sender)) => (group, format!("{sender}: {says}")),
        (Some(title), None) | (None, Some(title)) => (title, says),
        (None, None) => (NAMELESS.to_owned(), says),
    }
}

fn says(source: &Source<'_>, preview_chars: usize) -> String {
    let content = cut(source.content, preview_chars);
    let said = match source.kind {
        MessageType::Text | MessageType::System => return content,
        MessageType::Image => "Sent a photo",
        MessageType::Video => "Sent a video",
        MessageType::Audio => "Sent a voice message",
        MessageType::Location => "Sent a location",
        MessageType::File => match source.file_name.map(|name| cut(name, preview_chars)) {
            Some(name) if !name.is_empty() => return name,
            _ => "Sent a file",
        },
    };
    // A caption says more than that there is a photo.
    if content.is_empty() { said.to_owned() } else { content }
}

/// At most `max` characters as people count them. White space and control characters become one space; what is cut ends
/// in an ellipsis.
fn cut(text: &str, max: usize) -> String {
    let mut shown = String::new();
    // `room` is the length up to which an ellipsis still fits.
    let (mut count, mut room, mut gap) = (0, 0, false);
    for character in text.graphemes(true) {
        if character.chars().all(|c| c.is_whitespace() || c.is_control()) {
            gap = !shown.is_empty();
            continue;
        }
        count += 1 + usize::from(gap);
        if count > max {
            shown.truncate(room);
            shown.push('…');
            return shown;
        }
        if std::mem::take(&mut gap) {
            shown.push(' ');
        }
        shown.push_str(character);
        if count < max {
            room = shown.len();
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(kind: MessageType, content: &str) -> Source<'_> {
        Source { kind, content, file_name: None, sender: Some("Ada"), group: None }
    }

    fn words(title: &str, body: &str) -> (String, String) {
        (title.to_owned(), body.to_owned())
    }

    #[test]
    fn the_sender_is_the_title_and_in_a_group_part_of_the_body() {
        let direct = source(MessageType::Text, "Hello!");
        assert_eq!(title_and_body(&direct, 200), words("Ada", "Hello!"));
        let group = Source { group: Some("Jazz Night"), ..direct };
        assert_eq!(title_and_body(&group, 200), words("Jazz Night", "Ada: Hello!"));
        let nobody = Source { sender: None, ..group };
        assert_eq!(title_and_body(&nobody, 200), words("Jazz Night", "Hello!"));
        let nameless = Source { group: None, sender: Some(" "), ..direct };
        assert_eq!(title_and_body(&nameless, 200), words("New message", "Hello!"));
    }

    #[test]
    fn what_has_no_text_says_what_it_is() {
        let said = |kind| title_and_body(&source(kind, ""), 200).1;
        assert_eq!(said(MessageType::Image), "Sent a photo");
        assert_eq!(said(MessageType::Video), "Sent a video");
        assert_eq!(said(MessageType::Audio), "Sent a voice message");
        assert_eq!(said(MessageType::Location), "Sent a location");
        assert_eq!(said(MessageType::File), "Sent a file");
        let file = Source { file_name: Some("menu.pdf"), ..source(MessageType::File, "") };
        assert_eq!(title_and_body(&file, 200).1, "menu.pdf");
        assert_eq!(title_and_body(&source(MessageType::Image, "Us!"), 200).1, "Us!");
    }

    #[test]
    fn a_service_speaks_for_itself() {
        let system = Source { group: Some("Tickets"), ..source(MessageType::System, "Sold out") };
        assert_eq!(title_and_body(&system, 200), words("Tickets", "Sold out"));
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("abcd efg", 6), "abcd…");
        assert_eq!(cut("  a \n\t b\u{0}c ", 10), "a b c");
        assert_eq!(cut("", 5), "");
        assert_eq!(cut("éééé", 3), "éé…");
        // e and its accent, and a family of three, stay whole or go.
        assert_eq!(cut("abe\u{301}fg", 4), "abe\u{301}…");
        assert_eq!(cut("ab👩\u{200d}👩\u{200d}👧cd", 3), "ab…");
        assert_eq!(cut("ab👍\u{1f3fd}cd", 3), "ab…");
    }
}
