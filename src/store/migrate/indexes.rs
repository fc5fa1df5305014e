//! The indexes that migrations make, as their text has them.

/// An index that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub name: String,
    pub table: String,
    /// What makes it beside a service that runs: `CREATE INDEX CONCURRENTLY …`.
    pub statement: String,
}

/// The indexes that scripts make, one after the other, and leave there.
pub fn made_by<'a>(scripts: impl Iterator<Item = &'a str>) -> Vec<Index> {
    let mut made: Vec<Index> = Vec::new();
    for script in scripts {
        for statement in statements(script) {
            let words: Vec<&str> = statement.split_whitespace().collect();
            let word = |at: usize| words.get(at).copied().unwrap_or_default();
            match (word(0), word(1)) {
                ("CREATE", "INDEX") => made.extend(index(&words, &words[2..], "INDEX")),
                ("CREATE", "UNIQUE") => made.extend(index(&words, &words[3..], "UNIQUE INDEX")),
                ("DROP", "INDEX") => {
                    made.retain(|index| !words[2..].contains(&index.name.as_str()))
                }
                ("DROP", "TABLE") => {
                    made.retain(|index| !words[2..].contains(&index.table.as_str()))
                }
                _ => {}
            }
        }
    }
    made
}

/// `[CONCURRENTLY] [IF NOT EXISTS] <name> ON <table> …`
fn index(words: &[&str], rest: &[&str], what: &str) -> Option<Index> {
    let on = rest.iter().position(|word| *word == "ON")?;
    let name = *rest.get(on.checked_sub(1)?)?;
    let table = *rest.get(on + 1)?;
    let from = words.len() - rest.len() + on;
    let statement = format!("CREATE {what} CONCURRENTLY {name} {};", words[from..].join(" "));
    Some(Index { name: name.to_owned(), table: table.to_owned(), statement })
}

/// The statements of a script without its comments. Only what begins with `CREATE … INDEX` or `DROP` is looked at, so text
/// in quotes with a semicolon in it, as in comments of tables, does no harm: what follows it begins with neither.
fn statements(script: &str) -> Vec<String> {
    let code = |line: &str| line.split("--").next().unwrap_or_default().to_owned();
    let text: Vec<String> = script.lines().map(code).collect();
    text.join("\n").split(';').map(|statement| statement.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_and_not_dropped_is_there_with_what_makes_it_again() {
        let first = "CREATE TABLE t (a int); -- CREATE INDEX no ON t (a);
            CREATE INDEX t_a ON t (a) -- why
                WHERE a > 0;
            COMMENT ON TABLE t IS 'such; and such';
            CREATE UNIQUE INDEX IF NOT EXISTS t_b ON t (b);
            CREATE INDEX u_a ON u (a);";
        let second =
            "DROP INDEX t_b; DROP TABLE u; CREATE INDEX CONCURRENTLY t_c ON t USING gin (c);";
        let found = made_by([first, second].into_iter());
        let told: Vec<(&str, &str)> =
            found.iter().map(|index| (index.name.as_str(), index.statement.as_str())).collect();
        let expected = [
            ("t_a", "CREATE INDEX CONCURRENTLY t_a ON t (a) WHERE a > 0;"),
            ("t_c", "CREATE INDEX CONCURRENTLY t_c ON t USING gin (c);"),
        ];
        assert_eq!(told, expected);
        let unique = made_by(["CREATE UNIQUE INDEX x ON t (b);"].into_iter());
        assert_eq!(unique[0].statement, "CREATE UNIQUE INDEX CONCURRENTLY x ON t (b);");
    }

    #[test]
    fn our_own_migrations_are_understood() {
        let own = super::super::indexes(super::super::latest());
        let has = |name: &str| own.iter().any(|index| index.name == name);
        assert!(has("messages_expiring") && has("reports_open_message"), "{own:?}");
        assert!(own.len() > 40, "{}", own.len());
    }
}
