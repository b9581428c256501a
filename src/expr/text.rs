//! Text with expressions inside, cut into its parts.

use super::ExprError;

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'s> {
    Text(&'s str),
    /// What stands between the braces; `offset` is where it starts in the whole text, in bytes.
    Expr {
        source: &'s str,
        offset: usize,
    },
}

/// Cuts a text at its `{{ }}`. Braces inside a string or a map of the expression do not close it.
///
/// Errors: braces that are not closed, and the blocks and comments of templates (`{% %}`, `{# #}`), since text here
/// is text and not a program.
pub fn segments(text: &str) -> Result<Vec<Segment<'_>>, ExprError> {
    let mut out = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find('{').map(|i| from + i) {
        let rest = &text[at..];
        if rest.starts_with("{%") || rest.starts_with("{#") {
            let message =
                "only `{{ expression }}` has a meaning in text; for the characters themselves write {{ '{%' }}";
            return Err(ExprError::new(message, at));
        }
        if !rest.starts_with("{{") {
            // Plain brace: goes along with the text that follows.
            let next = at + 1 + text[at + 1..].find('{').unwrap_or(text.len() - at - 1);
            push_text(&mut out, text, from, next);
            from = next;
            continue;
        }
        let start = at + 2;
        let Some(length) = expression_length(&text[start..]) else {
            return Err(ExprError::new("`{{` is not closed: `}}` expected", at));
        };
        push_text(&mut out, text, from, at);
        out.push(Segment::Expr { source: &text[start..start + length], offset: start });
        from = start + length + 2;
    }
    push_text(&mut out, text, from, text.len());
    Ok(out)
}

fn push_text<'s>(out: &mut Vec<Segment<'s>>, text: &'s str, from: usize, to: usize) {
    if from < to {
        out.push(Segment::Text(&text[from..to]));
    }
}

/// How many bytes come before the `}}` that closes the expression.
fn expression_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            quote @ (b'"' | b'\'') => {
                i += 1;
                while i < bytes.len() && bytes[i] != quote {
                    i += 1 + usize::from(bytes[i] == b'\\');
                }
            }
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'}' if bytes.get(i + 1) == Some(&b'}') => return Some(i),
            _ => {}
        }
        i += 1;
    }
    None
}
