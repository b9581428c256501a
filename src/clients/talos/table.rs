//! talosctl's tables, read by where the headers stand: cells may be empty, and may hold spaces.

use std::collections::BTreeMap;

/// Rows by header. Columns are at least three spaces apart, as talosctl's tabwriter has them.
pub fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let Some(head) = lines.next() else { return Vec::new() };
    let columns = columns(head);
    lines.map(|line| row(&columns, line)).collect()
}

/// Each header with where it begins, counted in characters.
fn columns(head: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut blanks = usize::MAX;
    for (at, letter) in head.chars().enumerate() {
        if letter == ' ' {
            blanks = blanks.saturating_add(1);
            continue;
        }
        match found.last_mut() {
            Some((_, name)) if blanks < 2 => {
                name.extend(std::iter::repeat_n(' ', blanks));
                name.push(letter);
            }
            _ => found.push((at, letter.to_string())),
        }
        blanks = 0;
    }
    found
}

fn row(columns: &[(usize, String)], line: &str) -> BTreeMap<String, String> {
    let letters: Vec<char> = line.chars().collect();
    let ends = columns.iter().skip(1).map(|(at, _)| *at).chain([usize::MAX]);
    let cell = |from: usize, to: usize| -> String {
        letters.iter().skip(from).take(to.saturating_sub(from)).collect::<String>().trim().to_owned()
    };
    columns.iter().zip(ends).map(|((from, name), to)| (name.clone(), cell(*from, to))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found_by_their_headers() {
        let text = "NODE       MEMBER             DB SIZE   IN USE            LEADER             RAFT INDEX   ERRORS\n\
                    10.0.0.2   029bb865707d8c70   20 MB     9.1 MB (45.50%)   8e9e05c52164694d   41234        \n";
        let rows = rows(text);
        assert_eq!(rows.len(), 1);
        let cell = |name: &str| rows[0][name].as_str();
        assert_eq!((cell("DB SIZE"), cell("IN USE"), cell("RAFT INDEX")), ("20 MB", "9.1 MB (45.50%)", "41234"));
        assert_eq!((cell("NODE"), cell("ERRORS")), ("10.0.0.2", ""));
    }

    #[test]
    fn a_table_of_nothing_has_no_rows() {
        assert!(rows("").is_empty() && rows("NODE   MEMBER   ALARM\n").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(?s).{0,300}") {
            rows(&text);
        }
    }
}
