//! What the load generator's people say: words that are as common as words are.

use std::sync::LazyLock;

use super::Stamp;

/// Different words, some of which are in every message and most in hardly any.
const WORDS: f64 = 20_000.0;
/// Text that messages are cut out of: 16 times what the longest may have (8,000).
const TEXT_BYTES: usize = 131_072;

static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut text = Vec::with_capacity(TEXT_BYTES + 32);
    let mut number = 0;
    while text.len() < TEXT_BYTES {
        number += 1;
        // Evenly in the logarithm of the rank: Zipf's law, a word's frequency is one by its rank.
        let share = (mixed(number) >> 11) as f64 / (1_u64 << 53) as f64;
        word(WORDS.powf(share) as u64, &mut text);
        text.push(b' ');
    }
    text
});

/// Fills `out` with what the sender of this message says in it.
pub fn say(stamp: Stamp, out: &mut [u8]) {
    let text = &*TEXT;
    let most = text.len() - out.len().min(text.len());
    let start =
        mixed(u64::from(stamp.sender) << 32 | u64::from(stamp.number)) as usize % (most + 1);
    // From the beginning of a word.
    let skipped = text[start..].iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
    for (to, from) in out.iter_mut().zip(text[start..].iter().skip(skipped).chain(text)) {
        *to = *from;
    }
}

/// The word of a rank: syllables, the fewer the more common it is.
fn word(rank: u64, out: &mut Vec<u8>) {
    let mut rest = rank;
    loop {
        let syllable = mixed(rest) as usize;
        out.push(b"bdfghjklmnprstwyz"[syllable % 17]);
        out.push(b"aeiou"[syllable / 17 % 5]);
        if rest < 64 {
            break;
        }
        rest /= 64;
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_few_words_are_in_most_messages_and_most_words_in_few() {
        let mut messages = HashMap::new();
        for number in 0..1_000 {
            let mut said = [0; 64];
            say(Stamp { sender: number % 7, number, due: 0 }, &mut said);
            let said = str::from_utf8(&said).expect("ASCII");
            assert!(!said.starts_with(' ') && said.split(' ').count() > 5, "{said}");
            let words: std::collections::HashSet<&str> = said.split(' ').collect();
            words.into_iter().for_each(|word| *messages.entry(word.to_owned()).or_insert(0) += 1);
        }
        let often = messages.values().filter(|count| **count > 100).count();
        let once = messages.values().filter(|count| **count == 1).count();
        assert!(often > 5 && once > 1_000, "{often} {once} of {}", messages.len());
    }

    #[test]
    fn the_longest_message_is_filled_too() {
        let mut said = vec![0; TEXT_BYTES];
        say(Stamp { sender: 3, number: 9, due: 0 }, &mut said);
        assert!(!said.contains(&0));
    }
}
