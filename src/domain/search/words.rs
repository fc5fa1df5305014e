//! Words of a text, folded.

use std::collections::BTreeSet;
use std::ops::Range;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// Characters of a word that count; longer ones are names of files and the like, and are found by their beginning.
pub const MAX_WORD_CHARS: usize = 40;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// In lower case, without marks: letters and digits only.
    pub word: String,
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
}

/// The words of a text in their order.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { tokens: Vec::new(), open: None };
    for (at, c) in text.char_indices() {
        reader.read(at, c);
    }
    reader.close();
    reader.tokens
}

/// The different words of a text, in the order of their bytes.
pub fn distinct(text: &str) -> BTreeSet<String> {
    tokens(text).into_iter().map(|token| token.word).collect()
}

struct Reader {
    tokens: Vec<Token>,
    /// The word that is being read, and how many characters it has.
    open: Option<(Token, usize)>,
}

impl Reader {
    fn read(&mut self, at: usize, c: char) {
        let end = at + c.len_utf8();
        if c.is_ascii() {
            if c.is_ascii_alphanumeric() {
                self.push(at, end, c.to_ascii_lowercase());
            } else if c != '\'' {
                self.close();
            }
            return;
        }
        if is_inside(c) {
            // It belongs to the letter before it, and is marked with it.
            if let Some((token, _)) = &mut self.open
                && is_combining_mark(c)
            {
                token.range.end = end;
            }
            return;
        }
        let mut is_letter = false;
        for lower in c.to_lowercase() {
            decompose_compatible(lower, |part| {
                if let Some(plain) = plain(part) {
                    is_letter = true;
                    self.push(at, end, plain);
                } else if part.is_alphanumeric() && !is_combining_mark(part) {
                    is_letter = true;
                    part.to_lowercase().for_each(|part| self.push(at, end, part));
                }
            });
        }
        if !is_letter {
            self.close();
        }
    }

    fn push(&mut self, at: usize, end: usize, c: char) {
        let new = || (Token { word: String::new(), range: at..end }, 0);
        let (token, chars) = self.open.get_or_insert_with(new);
        token.range.end = end;
        if *chars < MAX_WORD_CHARS {
            token.word.push(c);
            *chars += 1;
        }
    }

    fn close(&mut self) {
        self.tokens.extend(self.open.take().map(|(token, _)| token));
    }
}

/// What stands inside a word without being a letter of it: marks, apostrophes as they are typed for glottal stops and
/// elisions (`n'ile`, `'ya'ya`), and what only says how letters join.
fn is_inside(c: char) -> bool {
    is_combining_mark(c)
        || matches!(
            c,
            '\u{2018}' | '\u{2019}' | '\u{02bb}' | '\u{02bc}' | '\u{00ad}' | '\u{200b}'
                ..='\u{200d}' | '\u{2060}' | '\u{fe0e}' | '\u{fe0f}'
        )
}

/// Letters that Unicode does not take apart, as they are typed on a keyboard without them.
fn plain(c: char) -> Option<char> {
    Some(match c {
        'ɓ' => 'b',
        'ɗ' | 'ɖ' | 'đ' | 'ð' => 'd',
        'ƙ' => 'k',
        'ƴ' => 'y',
        'ŋ' => 'n',
        'ɛ' | 'ǝ' | 'ə' => 'e',
        'ɔ' | 'ø' => 'o',
        'ɩ' | 'ı' => 'i',
        'ʋ' => 'v',
        'ł' => 'l',
        'ħ' => 'h',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|token| token.word).collect()
    }

    #[test]
    fn accents_tone_marks_and_hooks_fold() {
        assert_eq!(words("Ọlá jọ̀ọ́ MO FẸ́"), ["ola", "joo", "mo", "fe"]);
        assert_eq!(words("Ọla\u{301} o\u{323}la"), ["ola", "ola"], "composed or not");
        assert_eq!(words("ɗan ƙasa Ƴan ɓarawo"), ["dan", "kasa", "yan", "barawo"]);
        assert_eq!(words("ụlọ ahịa daalụ ṅụọ"), ["ulo", "ahia", "daalu", "nuo"]);
        assert_eq!(words("İstanbul ﬁne ＡＢＣ"), ["istanbul", "fine", "abc"]);
    }

    #[test]
    fn words_end_where_letters_and_digits_do() {
        assert_eq!(words("n'ile ’ya’ya don't"), ["nile", "yaya", "dont"]);
        assert_eq!(words("12:30, e-mail me@x.ng!"), ["12", "30", "e", "mail", "me", "x", "ng"]);
        assert_eq!(words(" \u{301} 🎉 '' -- "), Vec::<String>::new());
    }

    #[test]
    fn ranges_cover_what_was_written() {
        let text = "a jọ̀ọ́! b";
        let token = &tokens(text)[1];
        assert_eq!(&text[token.range.clone()], "jọ̀ọ́");
        let text = "'ola' x";
        assert_eq!(&text[tokens(text)[0].range.clone()], "ola");
    }

    #[test]
    fn long_words_count_by_their_beginning() {
        let text = "x".repeat(100);
        assert_eq!(words(&text), ["x".repeat(MAX_WORD_CHARS)]);
    }
}
