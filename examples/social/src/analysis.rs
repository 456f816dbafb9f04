//! What a text is about and how it sounds. Pure: the same text gives the same answer.

use std::collections::BTreeMap;

use crate::post::Mood;

/// How words sound, from -3 to 3.
const LEXICON: [(&str, i32); 48] = [
    ("amazing", 3),
    ("awesome", 3),
    ("awful", -3),
    ("bad", -2),
    ("best", 3),
    ("better", 1),
    ("broken", -2),
    ("bug", -1),
    ("cheap", -1),
    ("crash", -2),
    ("delay", -1),
    ("disappointed", -2),
    ("easy", 1),
    ("enjoy", 2),
    ("error", -1),
    ("excellent", 3),
    ("fail", -2),
    ("fast", 1),
    ("friendly", 2),
    ("fun", 2),
    ("good", 2),
    ("great", 3),
    ("happy", 2),
    ("hate", -3),
    ("helpful", 2),
    ("horrible", -3),
    ("kind", 1),
    ("late", -1),
    ("like", 1),
    ("lost", -1),
    ("love", 3),
    ("nice", 2),
    ("perfect", 3),
    ("poor", -2),
    ("problem", -1),
    ("recommend", 2),
    ("refund", -1),
    ("sad", -2),
    ("slow", -1),
    ("smooth", 1),
    ("terrible", -3),
    ("thanks", 1),
    ("ugly", -2),
    ("useful", 1),
    ("useless", -2),
    ("waste", -2),
    ("wonderful", 3),
    ("worst", -3),
];

/// Words that turn the next one around.
const NEGATIONS: [&str; 7] = ["not", "no", "never", "isn't", "don't", "doesn't", "wasn't"];

/// Words that say nothing about the subject.
const STOP: [&str; 44] = [
    "a", "about", "all", "am", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "had",
    "has", "have", "he", "her", "his", "i", "in", "is", "it", "its", "me", "my", "of", "on", "or", "our",
    "she", "so", "that", "the", "they", "this", "to", "was", "we", "were", "with", "you", "your",
];

/// How many keywords there are at most.
const KEYWORDS: usize = 5;

fn words(text: &str) -> impl Iterator<Item = String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '\'' || c == '#';
    text.split(move |c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

fn sound(word: &str) -> Option<i32> {
    LEXICON.iter().find(|(known, _)| *known == word).map(|(_, sound)| *sound)
}

/// The most frequent words that mean something; hashtags count double. Ties in the order of the alphabet.
pub fn keywords(text: &str) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for word in words(text) {
        let weight = if word.starts_with('#') { 2 } else { 1 };
        let word = word.trim_start_matches('#');
        let says_nothing = word.chars().count() < 3
            || STOP.contains(&word)
            || NEGATIONS.contains(&word)
            || sound(word).is_some();
        if !says_nothing {
            *counts.entry(word.to_owned()).or_default() += weight;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
    counts.into_iter().take(KEYWORDS).map(|(word, _)| word).collect()
}

/// The mean sound of the words that have one, from -1 to 1; a negation turns the next two words around.
pub fn sentiment(text: &str) -> (Mood, f64) {
    let (mut sum, mut heard, mut turned) = (0, 0, 0);
    for word in words(text) {
        if NEGATIONS.contains(&word.as_str()) {
            turned = 2;
            continue;
        }
        if let Some(sound) = sound(word.trim_start_matches('#')) {
            sum += if turned > 0 { -sound } else { sound };
            heard += 1;
        }
        turned = i32::max(turned - 1, 0);
    }
    if heard == 0 {
        return (Mood::Neutral, 0.0);
    }
    let score = f64::from(sum) / f64::from(3 * heard);
    let mood = match score {
        s if s > 0.1 => Mood::Positive,
        s if s < -0.1 => Mood::Negative,
        _ => Mood::Neutral,
    };
    (mood, score)
}

/// What to do about a post.
pub fn recommendation(mood: Mood, score: f64, keywords: &[String]) -> String {
    let about = keywords.first().map(|word| format!(" about {word}")).unwrap_or_default();
    match mood {
        Mood::Negative if score < -0.6 => format!("answer within the hour{about}, and ask what went wrong"),
        Mood::Negative => format!("answer today{about}"),
        Mood::Neutral => format!("watch{about}"),
        Mood::Positive if score > 0.6 => format!("thank the author{about}, and ask to share it"),
        Mood::Positive => format!("thank the author{about}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_the_frequent_words_that_mean_something() {
        let text =
            "The train to Lyon was late, the train was slow. Love the #station café, though! It's a train.";
        assert_eq!(keywords(text), ["train", "station", "café", "it's", "lyon"]);
        assert!(keywords("the and of 12 !!").is_empty());
    }

    #[test]
    fn sentiment_follows_the_lexicon_and_negations() {
        for (text, mood) in [
            ("I love this, it is great", Mood::Positive),
            ("not a good day, terrible service", Mood::Negative),
            ("never slow, not bad", Mood::Positive),
            ("the train leaves at nine", Mood::Neutral),
            ("good and bad", Mood::Neutral),
            ("", Mood::Neutral),
        ] {
            let (found, score) = sentiment(text);
            assert_eq!(found, mood, "{text}: {score}");
            assert!((-1.0..=1.0).contains(&score), "{text}: {score}");
        }
    }

    #[test]
    fn the_lexicon_holds_each_word_once() {
        assert!(LEXICON.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn anger_is_answered_first() {
        let words = vec!["parcel".to_owned()];
        assert!(recommendation(Mood::Negative, -0.9, &words).contains("within the hour about parcel"));
        assert!(recommendation(Mood::Positive, 0.9, &[]).starts_with("thank the author, and"));
    }
}
