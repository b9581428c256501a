//! Text in columns: its width on a terminal, cutting, filling, breaking; and taking the sting out of strangers' text.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::style::Style;

/// Text that came from outside, made harmless for a terminal: escape sequences and control signs would let a guest's
/// name or a task's log move the cursor and paint over what is true. Line breaks become blanks.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '\x1b' => skip_escape(&mut signs),
            '\n' | '\t' => out.push(' '),
            c if c.is_control() || is_bidi(c) => {}
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn skip_escape(signs: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    // CSI: parameters up to a letter. Of any other sequence the next sign is enough; the rest is harmless text.
    if signs.next() == Some('[') {
        for sign in signs.by_ref() {
            if ('@'..='~').contains(&sign) {
                break;
            }
        }
    }
}

/// Signs that turn the direction of writing, and so can show a text as another one.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text, cut to `most` columns with an ellipsis where it is longer.
pub(super) fn clip(text: &str, most: usize, style: Style) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let dots = style.pick("…", "..");
    let room = most.saturating_sub(width(dots));
    let mut used = 0;
    let kept: String = text
        .chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= room
        })
        .collect();
    if most < width(dots) { kept } else { kept + dots }
}

/// The text, filled with blanks to `to` columns.
pub(super) fn fill(text: &str, to: usize, right: bool) -> String {
    let blanks = " ".repeat(to.saturating_sub(width(text)));
    if right { blanks + text } else { text.to_owned() + &blanks }
}

/// The words of `text` in lines of at most `most` columns; a longer word has a line of its own. What stands between
/// backticks is a command to copy, and is one word.
pub(super) fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words(text) {
        let word = word.as_str();
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for part in text.split_whitespace() {
        match words.last_mut() {
            Some(word) if open => {
                word.push(' ');
                word.push_str(part);
            }
            _ => words.push(part.to_owned()),
        }
        open ^= part.matches('`').count() % 2 == 1;
    }
    // Without its other half it was no command.
    if open { text.split_whitespace().map(str::to_owned).collect() } else { words }
}

/// Wrapped text behind a head: `head` on the first line, blanks of its width on the others.
pub(super) fn hang(head: &str, text: &str, most: usize) -> String {
    let room = most.saturating_sub(width(head)).max(20);
    let blanks = " ".repeat(width(head));
    let mut out = String::new();
    for (i, line) in wrap(&clean(text), room).iter().enumerate() {
        out.push_str(if i == 0 { head } else { &blanks });
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_text_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2J\x1b[31mb\x07\r\nc\u{202e}d"), "ab cd");
    }

    #[test]
    fn cutting_counts_columns_and_not_signs() {
        let unicode = Style { unicode: true, color: false };
        assert_eq!(clip("日本語テキスト", 7, unicode), "日本語…");
        assert_eq!(clip("web-frontend", 6, Style::default()), "web-..");
        assert_eq!(clip("web", 3, unicode), "web");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("type `a b` or `c d e`, or don`t", 8), ["type `a", "b` or `c", "d e`, or", "don`t"]);
        assert_eq!(wrap("type `a b` or `c d e`", 8), ["type", "`a b` or", "`c d e`"]);
        assert_eq!(hang("- ", "one two three four five six", 26), "- one two three four five\n  six\n");
    }
}
