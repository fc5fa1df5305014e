//! The part of a message that shows why it was found.

use std::ops::Range;

/// Characters of the message that a snippet shows at most, some lines on a phone.
const CHARS: usize = 160;
/// Characters before the first hit.
const BEFORE: usize = 40;

/// HTML: hits between `<mark>` and `</mark>`, everything else escaped. `…` stands where something was left out.
///
/// `hits` are in order and apart, on borders of characters.
pub fn snippet(text: &str, hits: &[Range<usize>]) -> String {
    let (start, end) = part(text, hits.first().map_or(0, |hit| hit.start));
    let mut html = String::with_capacity(end - start + 64);
    if start > 0 {
        html.push('…');
    }
    let mut at = start;
    for hit in hits.iter().filter(|hit| hit.end > start && hit.start < end) {
        let (from, to) = (hit.start.max(at), hit.end.min(end));
        escape(&mut html, &text[at..from]);
        html.push_str("<mark>");
        escape(&mut html, &text[from..to]);
        html.push_str("</mark>");
        at = to;
    }
    escape(&mut html, &text[at..end]);
    if end < text.len() {
        html.push('…');
    }
    html
}

/// Where to cut, in bytes: between words if there is a space near.
fn part(text: &str, first_hit: usize) -> (usize, usize) {
    let places = |range: &str| range.char_indices().map(|(at, _)| at).collect::<Vec<_>>();
    let before = places(&text[..first_hit]);
    let start = match before.len().checked_sub(BEFORE) {
        // What would be left out is hardly more than the sign that says so.
        None | Some(0..4) => 0,
        Some(skipped) => {
            let from = before[skipped];
            let space = text[from..first_hit].find(char::is_whitespace);
            let behind =
                |at: usize| from + at + text[from + at..].chars().next().map_or(0, char::len_utf8);
            space.map_or(from, behind)
        }
    };
    let shown = places(&text[start..]);
    let Some(&end) = shown.get(CHARS) else { return (start, text.len()) };
    let end = start + end;
    // The hit itself is never cut off, however long it is.
    let floor = first_hit.max(start) + (end - first_hit.max(start)) / 2;
    let floor = (floor..end).find(|at| text.is_char_boundary(*at)).unwrap_or(end);
    (start, text[floor..end].rfind(char::is_whitespace).map_or(end, |at| floor + at))
}

fn escape(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c if c.is_control() || c.is_whitespace() => html.push(' '),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::matching::matches;
    use super::super::query::Query;
    use super::*;

    fn show(query: &str, text: &str) -> String {
        let query = Query::parse(query).expect("a query");
        snippet(text, &matches(&query, text, true).expect("answers").hits)
    }

    #[test]
    fn hits_are_marked_as_they_were_written_and_the_rest_is_escaped() {
        assert_eq!(
            show("ola script", "<script>alert('Ọlá') & \"co\""),
            "&lt;<mark>script</mark>&gt;alert(&#39;<mark>Ọlá</mark>&#39;) &amp; &quot;co&quot;"
        );
        assert_eq!(show("mark", "</mark><b>"), "&lt;/<mark>mark</mark>&gt;&lt;b&gt;");
        assert_eq!(show("b", "a\nb\tc"), "a <mark>b</mark> c");
    }

    #[test]
    fn long_texts_are_cut_around_the_first_hit() {
        let text = format!("{} jọ̀ọ́ {}", "ẹ ".repeat(500), "ọ ".repeat(500));
        let html = show("joo", &text);
        assert!(html.starts_with("…ẹ ") && html.ends_with('…'), "{html}");
        assert!(html.contains("<mark>jọ̀ọ́</mark>"));
        assert!(html.chars().count() <= CHARS + "……<mark></mark>".len());
        let html = show("xyz", &format!("{} xyz{}", "ọ".repeat(300), " y".repeat(300)));
        assert!(html.contains("<mark>xyz</mark>"), "{html}");
    }
}
