//! A command line as a shell would split it, for the stand-ins that take words.

/// Splits into words, quotes and backslashes respected. What needs a real shell (a pipe, a variable, a redirection, an
/// open quote) becomes `sh -c LINE`: the world says what it makes of that.
pub fn split(line: &str) -> Vec<String> {
    simple_words(line).unwrap_or_else(|| vec!["sh".into(), "-c".into(), line.into()])
}

fn simple_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        quoted => word.push(quoted),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next()?),
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '\n' => return None,
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '$' | '`' => return None,
            '\\' => match chars.next()? {
                c @ ('"' | '\\' | '$' | '`') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

/// A word in single quotes, safe in any shell.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_respected() {
        assert_eq!(
            split(r#"qm  set 104 --name 'a b' "c \"d\"" e\ f ''"#),
            ["qm", "set", "104", "--name", "a b", r#"c "d""#, "e f", ""]
        );
        assert_eq!(split(&["a'b", "c d"].map(quote).join(" ")), ["a'b", "c d"]);
    }

    #[test]
    fn what_needs_a_shell_is_given_to_one() {
        for line in ["cat x | grep y", "echo $HOME", "echo 'open", "ls *"] {
            assert_eq!(split(line), ["sh", "-c", line]);
        }
    }
}
