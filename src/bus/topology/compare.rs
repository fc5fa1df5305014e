//! What is, beside what should be.

use std::time::Duration;

use async_nats::jetstream::stream;

/// What differs, a sentence each.
pub fn differences(current: &stream::Config, wanted: &stream::Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, is: String, should: String| {
        if is != should {
            found.push(format!("{what} is {is}, wanted {should}"));
        }
    };
    let days = |d: Duration| format!("{} s", d.as_secs_f64());
    let sorted = |subjects: &[String]| {
        let mut subjects = subjects.to_vec();
        subjects.sort();
        subjects.join(" ")
    };
    compare("subjects", sorted(&current.subjects), sorted(&wanted.subjects));
    compare("max_age", days(current.max_age), days(wanted.max_age));
    compare("duplicate_window", days(current.duplicate_window), days(wanted.duplicate_window));
    compare(
        "max_message_bytes",
        current.max_message_size.to_string(),
        wanted.max_message_size.to_string(),
    );
    compare("allow_direct", current.allow_direct.to_string(), wanted.allow_direct.to_string());
    compare(
        "allow_message_ttl",
        current.allow_message_ttl.to_string(),
        wanted.allow_message_ttl.to_string(),
    );
    // Zero and less: any number.
    let most = |config: &stream::Config| config.max_messages.max(0).to_string();
    compare("max_messages", most(current), most(wanted));
    compare("retention", format!("{:?}", current.retention), format!("{:?}", wanted.retention));
    compare("discard", format!("{:?}", current.discard), format!("{:?}", wanted.discard));
    compare("replicas", current.num_replicas.to_string(), wanted.num_replicas.to_string());
    compare(
        "description",
        current.description.clone().unwrap_or_default(),
        wanted.description.clone().unwrap_or_default(),
    );
    found
}

/// What would be lost by making it as wanted.
pub fn would_destroy(current: &stream::Config, wanted: &stream::Config) -> Option<String> {
    // A max_age of zero keeps everything.
    let shorter = !wanted.max_age.is_zero()
        && (current.max_age.is_zero() || wanted.max_age < current.max_age);
    if shorter {
        return Some("its retention would become shorter".to_owned());
    }
    if current.retention != wanted.retention {
        return Some("its retention policy would change".to_owned());
    }
    let fewer = wanted.max_messages > 0
        && (current.max_messages <= 0 || wanted.max_messages < current.max_messages);
    if fewer {
        return Some("it would hold fewer messages".to_owned());
    }
    let kept = |subject: &str| wanted.subjects.iter().any(|pattern| covers(pattern, subject));
    let dropped = current.subjects.iter().find(|subject| !kept(subject))?;
    Some(format!("the subject {dropped} would be dropped"))
}

/// Does a pattern of subjects take everything that another takes?
fn covers(pattern: &str, other: &str) -> bool {
    let mut others = other.split('.');
    for token in pattern.split('.') {
        match (token, others.next()) {
            (">", rest) => return rest.is_some(),
            ("*", Some(other)) if other != ">" => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    others.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::super::plan::wanted;
    use super::*;

    #[test]
    fn a_subject_that_is_taken_by_a_wider_one_is_not_dropped() {
        for (pattern, other) in [("dead.>", "dead.*"), ("a.*", "a.b"), ("a.b", "a.b"), (">", "a")] {
            assert!(covers(pattern, other), "{pattern} {other}");
        }
        for (pattern, other) in
            [("dead.*", "dead.>"), ("a.*", "a.b.c"), ("a.b.*", "a.b"), ("a.>", "a"), ("a", "*")]
        {
            assert!(!covers(pattern, other), "{pattern} {other}");
        }
    }

    #[test]
    fn a_shorter_retention_counts_as_destruction_and_a_longer_one_does_not() {
        let wanted = wanted(1).remove(0).config;
        let mut current = wanted.clone();
        assert!(differences(&current, &wanted).is_empty());
        current.max_age += Duration::from_secs(1);
        assert!(would_destroy(&current, &wanted).is_some());
        current.max_age = Duration::from_secs(1);
        assert!(would_destroy(&current, &wanted).is_none());
        assert_eq!(differences(&current, &wanted).len(), 1);
        current.max_age = Duration::ZERO;
        assert!(would_destroy(&current, &wanted).is_some());
    }
}
