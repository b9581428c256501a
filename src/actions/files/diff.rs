//! What is different between two texts, line by line, as `diff -u` shows it.

/// Lines round a difference.
const AROUND: usize = 3;
/// Lines of a difference that a plan shows.
const MOST: usize = 120;
/// Pairs of lines that are compared; beyond, what differs is shown as one piece.
const PAIRS: usize = 4_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Same,
    Out,
    In,
}

/// The difference; empty where there is none. Its first line says how much it is.
pub fn unified(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let edits = edits(&old, &new);
    let shown: Vec<bool> = (0..edits.len())
        .map(|i| {
            let near = i.saturating_sub(AROUND)..(i + AROUND + 1).min(edits.len());
            edits[near].iter().any(|(kind, _)| *kind != Kind::Same)
        })
        .collect();
    let (mut out, mut line, mut new_line, mut open) = (Vec::new(), 1, 1, false);
    for ((kind, text), shown) in edits.iter().zip(shown) {
        if shown && !open {
            out.push(format!("@@ -{line} +{new_line} @@"));
        }
        open = shown;
        if shown {
            let sign = match kind {
                Kind::Same => ' ',
                Kind::Out => '-',
                Kind::In => '+',
            };
            out.push(format!("{sign}{}", visible(text)));
        }
        line += usize::from(*kind != Kind::In);
        new_line += usize::from(*kind != Kind::Out);
    }
    if out.is_empty() && before != after {
        out.push("(only the end of its last line differs)".to_owned());
    }
    if out.len() > MOST {
        let more = out.len() - MOST;
        out.truncate(MOST);
        out.push(format!("({more} more lines)"));
    }
    out
}

/// A terminal must not be told anything by a file.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

fn edits<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Kind, &'t str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let (mid_old, mid_new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut out: Vec<(Kind, &str)> = old[..head].iter().map(|line| (Kind::Same, *line)).collect();
    if mid_old.len().saturating_mul(mid_new.len()) > PAIRS {
        out.extend(mid_old.iter().map(|line| (Kind::Out, *line)));
        out.extend(mid_new.iter().map(|line| (Kind::In, *line)));
    } else {
        longest_common(mid_old, mid_new, &mut out);
    }
    out.extend(old[old.len() - tail..].iter().map(|line| (Kind::Same, *line)));
    out
}

fn longest_common<'t>(old: &[&'t str], new: &[&'t str], out: &mut Vec<(Kind, &'t str)>) {
    let width = new.len() + 1;
    // The length of the longest common rest from each pair of places on.
    let mut rest = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            rest[i * width + j] = match old[i] == new[j] {
                true => rest[(i + 1) * width + j + 1] + 1,
                false => rest[(i + 1) * width + j].max(rest[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push((Kind::Same, old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || rest[(i + 1) * width + j] >= rest[i * width + j + 1]) {
            out.push((Kind::Out, old[i]));
            i += 1;
        } else {
            out.push((Kind::In, new[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_with_what_is_round_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let new = old.replace("5\n", "five\nand\n");
        let said = unified(old, &new);
        assert_eq!(said, ["@@ -2 +2 @@", " 2", " 3", " 4", "-5", "+five", "+and", " 6", " 7", " 8"]);
        assert_eq!(unified(old, old), Vec::<String>::new());
        assert_eq!(unified("", "a\u{1b}[31m\n"), ["@@ -1 +1 @@", "+a\u{fffd}[31m"]);
        assert_eq!(unified("a", "a\n").len(), 1);
        let long: String = (0..5_000).map(|n| format!("{n}\n")).collect();
        assert_eq!(unified("", &long).last().unwrap(), "(4881 more lines)");
    }
}
