//! What people type into a search box: words, `"phrases"`, `-without`, and `or`.

use super::words::tokens;

/// Longer than anything that somebody types.
pub const MAX_CHARS: usize = 500;
/// Words of a query in all. Each is looked up in every conversation of the asker.
pub const MAX_WORDS: usize = 16;
/// Alternatives, between which `or` stands. Each is a query of its own.
pub const MAX_ALTERNATIVES: usize = 4;
/// A word that begins with these letters at least is found by them.
pub const MIN_PREFIX_CHARS: usize = 3;

/// A query: it is answered by a message that answers one of its alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub alternatives: Vec<Alternative>,
}

/// All of what is wanted, and nothing of what is unwanted. There is always something wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alternative {
    pub wanted: Vec<Term>,
    pub unwanted: Vec<Term>,
}

/// Folded words that stand behind one another; mostly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    pub words: Vec<String>,
    /// In quotes, or with a minus: only the words themselves, neither their beginnings nor what is spelt alike.
    pub is_exact: bool,
}

/// Why a text is no query. `Display` is a sentence for the one who typed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("must contain a word to look for")]
    Empty,
    #[error(
        "must contain a word to look for beside those with a minus, in each part between \"or\""
    )]
    OnlyUnwanted,
    #[error("must have at most {MAX_CHARS} characters")]
    TooLong,
    #[error("must have at most {MAX_WORDS} words")]
    TooManyWords,
    #[error("must have at most {MAX_ALTERNATIVES} parts between \"or\"")]
    TooManyAlternatives,
}

impl Term {
    /// The single word of which a beginning, or with a slip, is enough.
    pub fn loose(&self) -> Option<&str> {
        match self.words.as_slice() {
            [word] if !self.is_exact => Some(word),
            _ => None,
        }
    }

    /// Is its beginning enough?
    pub fn is_prefix(&self) -> bool {
        self.loose().is_some_and(|word| word.chars().nth(MIN_PREFIX_CHARS - 1).is_some())
    }
}

impl Query {
    /// Reads what was typed. Whatever is no word, a quote, a minus or `or` only separates words.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.chars().nth(MAX_CHARS).is_some() {
            return Err(QueryError::TooLong);
        }
        let parts = split(text);
        let mut alternatives = vec![Alternative::default()];
        for (at, part) in parts.iter().enumerate() {
            let open = alternatives.last_mut().ok_or(QueryError::Empty)?;
            match part {
                // At an end it is a word like any other.
                Part::Or if at > 0 && at + 1 < parts.len() => {
                    if !(open.wanted.is_empty() && open.unwanted.is_empty()) {
                        alternatives.push(Alternative::default());
                    }
                }
                Part::Or => open.wanted.push(Term { words: vec!["or".into()], is_exact: false }),
                Part::Wanted(term) => open.wanted.push(term.clone()),
                Part::Unwanted(term) => open.unwanted.push(term.clone()),
            }
        }
        Self { alternatives }.checked()
    }

    fn checked(self) -> Result<Self, QueryError> {
        let all = &self.alternatives;
        let terms = || all.iter().flat_map(|one| one.wanted.iter().chain(&one.unwanted));
        if terms().next().is_none() {
            return Err(QueryError::Empty);
        }
        if all.iter().any(|one| one.wanted.is_empty()) {
            return Err(QueryError::OnlyUnwanted);
        }
        if terms().map(|term| term.words.len()).sum::<usize>() > MAX_WORDS {
            return Err(QueryError::TooManyWords);
        }
        if all.len() > MAX_ALTERNATIVES {
            return Err(QueryError::TooManyAlternatives);
        }
        Ok(self)
    }
}

enum Part {
    Wanted(Term),
    Unwanted(Term),
    Or,
}

/// Cuts at white space and at quotes that come in pairs.
fn split(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (unwanted, body) = match rest.strip_prefix('-') {
            Some(body) if !body.starts_with('-') => (true, body),
            _ => (false, rest),
        };
        let quoted = body.strip_prefix(['"', '“', '”', '„']);
        let closed = quoted.and_then(|body| Some((body, body.find(['"', '“', '”'])?)));
        let (chunk, behind, is_quoted) = match closed {
            Some((body, end)) => {
                let width = body[end..].chars().next().map_or(1, char::len_utf8);
                (&body[..end], &body[end + width..], true)
            }
            None => {
                let end = body.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(body.len());
                // A quote without its second half stands for nothing.
                let behind = body[end..].strip_prefix('"').filter(|_| end == 0);
                (&body[..end], behind.unwrap_or(&body[end..]), false)
            }
        };
        parts.extend(part(chunk, unwanted, is_quoted));
        rest = behind.trim_start();
    }
    parts
}

fn part(chunk: &str, unwanted: bool, is_quoted: bool) -> Option<Part> {
    if !is_quoted && !unwanted && chunk.eq_ignore_ascii_case("or") {
        return Some(Part::Or);
    }
    let words: Vec<String> = tokens(chunk).into_iter().map(|token| token.word).collect();
    if words.is_empty() {
        return None;
    }
    let term = Term { words, is_exact: is_quoted || unwanted };
    Some(if unwanted { Part::Unwanted(term) } else { Part::Wanted(term) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a "b c" -d | e`, as it was understood.
    fn read(text: &str) -> String {
        let query = match Query::parse(text) {
            Ok(query) => query,
            Err(error) => return format!("{error:?}"),
        };
        let term = |term: &Term| {
            let words = term.words.join("+");
            if term.is_exact { format!("\"{words}\"") } else { words }
        };
        let one = |one: &Alternative| {
            let wanted = one.wanted.iter().map(term);
            let unwanted = one.unwanted.iter().map(|one| format!("-{}", term(one)));
            wanted.chain(unwanted).collect::<Vec<_>>().join(" ")
        };
        query.alternatives.iter().map(one).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn quotes_minus_and_or_mean_what_they_do_elsewhere() {
        assert_eq!(read("Ọlá jazz"), "ola jazz");
        assert_eq!(read("\"Lagos Jazz\" night"), "\"lagos+jazz\" night");
        assert_eq!(read("jazz -lagos -\"new year\""), "jazz -\"lagos\" -\"new+year\"");
        assert_eq!(read("rice beans or yam OR -x y"), "rice beans | yam | y -\"x\"");
        assert_eq!(read("e-mail 12:30"), "e+mail 12+30");
        assert_eq!(read("“curly quotes”"), "\"curly+quotes\"");
    }

    #[test]
    fn what_is_odd_is_read_as_words() {
        assert_eq!(read("or"), "or");
        assert_eq!(read("or x or"), "or x or");
        assert_eq!(read("x or or y"), "x | y");
        assert_eq!(read("\"open end"), "open end");
        assert_eq!(read("a\"b c\"d"), "a \"b+c\" d");
        assert_eq!(read("--x - \"\""), "x");
        assert_eq!(read("'; DROP TABLE messages; --"), "drop table messages");
        assert_eq!(read("(.*)+$ [a-z]{3}"), "a+z+3");
        assert_eq!(read("a & b | !c <-> d:*"), "a b c d");
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused() {
        assert_eq!(read(""), "Empty");
        assert_eq!(read(" 🎉 \" - "), "Empty");
        assert_eq!(read("-x"), "OnlyUnwanted");
        assert_eq!(read("x or -y"), "OnlyUnwanted");
        assert_eq!(read(&"x ".repeat(5_000)), "TooLong");
        assert_eq!(read(&"x ".repeat(17)), "TooManyWords");
        assert_eq!(read("a or b or c or d or e"), "TooManyAlternatives");
    }
}
