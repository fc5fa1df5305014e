//! Single slips of the finger: a letter too much, too few, another one, or two that changed places.

/// Words shorter than this are not looked for with slips: half of all short words are one letter from each other.
pub const MIN_CHARS: usize = 4;

/// Is `word` what somebody may have meant with `typed`, with exactly one slip? The first letter counts like any other.
pub fn is_slip(typed: &str, word: &str) -> bool {
    if typed == word || typed.len().abs_diff(word.len()) > 4 {
        return false;
    }
    let typed: Vec<char> = typed.chars().collect();
    let word: Vec<char> = word.chars().collect();
    if typed.len() < MIN_CHARS || typed.len().abs_diff(word.len()) > 1 {
        return false;
    }
    let start = typed.iter().zip(&word).take_while(|(a, b)| a == b).count();
    let (a, b) = (&typed[start..], &word[start..]);
    match a.len().cmp(&b.len()) {
        std::cmp::Ordering::Less => b.get(1..) == Some(a),
        std::cmp::Ordering::Greater => a.get(1..) == Some(b),
        std::cmp::Ordering::Equal => {
            a.get(1..) == b.get(1..)
                || (a.len() >= 2 && a[0] == b[1] && a[1] == b[0] && a[2..] == b[2..])
        }
    }
}

/// What finds every word that is one slip from `typed`: how it begins or how it ends, since one slip leaves one of the
/// halves as it is; and the word itself where the slip is on the border between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halves {
    pub beginning: String,
    pub ending: String,
    /// With the letters on both sides of the border changed.
    pub crossed: String,
}

/// The halves of a word that is long enough.
pub fn halves(typed: &str) -> Option<Halves> {
    let chars: Vec<char> = typed.chars().collect();
    if chars.len() < MIN_CHARS {
        return None;
    }
    let middle = chars.len() / 2;
    let mut crossed = chars.clone();
    crossed.swap(middle - 1, middle);
    Some(Halves {
        beginning: chars[..middle].iter().collect(),
        ending: chars[middle..].iter().collect(),
        crossed: crossed.into_iter().collect(),
    })
}

/// What every word that is one slip from `typed` looks like, with `_` for any letter: two letters that changed places, one
/// too much, another one, or one too few.
pub fn patterns(typed: &str) -> Vec<String> {
    let chars: Vec<char> = typed.chars().collect();
    let with = |from: usize, between: &[char], to: usize| -> String {
        chars[..from].iter().chain(between).chain(&chars[to..]).collect()
    };
    let places = 0..chars.len();
    let mut patterns: Vec<String> =
        (1..chars.len()).map(|at| with(at - 1, &[chars[at], chars[at - 1]], at + 1)).collect();
    patterns.extend(places.clone().map(|at| with(at, &[], at + 1)));
    patterns.extend(places.clone().map(|at| with(at, &['_'], at + 1)));
    patterns.extend((0..=chars.len()).map(|at| with(at, &['_'], at)));
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_is_a_slip_and_two_are_not() {
        for word in ["meetng", "meetting", "meating", "emeting", "meetign", "meetings", "eeting"] {
            assert!(is_slip(word, "meeting"), "{word}");
        }
        for word in ["meeting", "metng", "meetingss", "greeting", "emetign"] {
            assert!(!is_slip(word, "meeting"), "{word}");
        }
        assert!(!is_slip("ola", "olu"), "too short");
    }

    #[test]
    fn patterns_are_those_of_the_slips_and_of_nothing_else() {
        let fits = |pattern: &str, word: &str| {
            pattern.chars().count() == word.chars().count()
                && pattern.chars().zip(word.chars()).all(|(p, c)| p == '_' || p == c)
        };
        let all = patterns("meetng");
        assert_eq!(all.len(), 5 + 6 + 6 + 7);
        for word in ["meeting", "metng", "meetxg", "emetng", "meetngs", "ameetng", "meteng"] {
            assert!(is_slip("meetng", word), "{word}");
            assert!(all.iter().any(|pattern| fits(pattern, word)), "{word}");
        }
        for word in ["meetings", "greeting", "mtng", "emetgn"] {
            assert!(!all.iter().any(|pattern| fits(pattern, word)), "{word}");
        }
        assert!(patterns("ọlámidé").iter().any(|pattern| fits(pattern, "ọlámdé")));
    }

    #[test]
    fn one_half_always_survives() {
        let word = "market";
        let letters = "abmkz";
        let mut typed = Vec::new();
        for at in 0..=word.len() {
            for c in letters.chars() {
                let (start, end) = word.split_at(at);
                typed.push(format!("{start}{c}{end}"));
                typed.push(format!("{start}{c}{}", end.get(1..).unwrap_or_default()));
                typed.push(format!("{start}{}", end.get(1..).unwrap_or_default()));
            }
        }
        typed.push("maekrt".into());
        for typed in typed.iter().filter(|typed| is_slip(typed, word)) {
            let halves = halves(typed).expect("long enough");
            assert!(
                word.starts_with(&halves.beginning)
                    || word.ends_with(&halves.ending)
                    || word == halves.crossed,
                "{typed}"
            );
        }
        assert_eq!(halves("makret").expect("long enough").crossed, "market");
    }
}
