//! Terminal text as a picture: an SVG that looks like a screenshot, the same each time, for documents.

use std::fmt::Write;

use super::text::width;

/// A sign's width and a line's height in pixels at the font's size.
const SIGN: f64 = 8.4;
const LINE: usize = 20;
const SIZE: usize = 14;
const PAD: usize = 18;
const BAR: usize = 34;

/// The colours of a dark terminal: for the eight of SGR 30 to 37, readable on the ground (contrast of at least 4.5).
const GROUND: &str = "#16181d";
const PLAIN: &str = "#d6d9df";
const COLORS: [&str; 8] = ["#868d9b", "#ff7b72", "#6fcf7c", "#e5c15d", "#79b8ff", "#d2a8ff", "#67d3e0", "#f0f3f6"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Pen {
    color: Option<usize>,
    bold: bool,
    dim: bool,
}

/// Text with the SGR sequences of our styles as an SVG window with `title`. Other escape sequences are left out.
pub fn svg(title: &str, text_with_ansi: &str) -> String {
    let lines: Vec<Vec<(Pen, String)>> = lines(text_with_ansi);
    let length = |line: &Vec<(Pen, String)>| line.iter().map(|(_, t)| width(t)).sum::<usize>();
    let columns = lines.iter().map(length).max().unwrap_or(0).max(width(title) + 12).max(40);
    let (w, h) = ((columns as f64 * SIGN).ceil() as usize + 2 * PAD, lines.len() * LINE + BAR + 2 * PAD);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" \
         aria-label=\"{title}\">\n<rect width=\"{w}\" height=\"{h}\" rx=\"9\" fill=\"{GROUND}\"/>\n\
         <g fill=\"#4a5060\"><circle cx=\"22\" cy=\"18\" r=\"6\"/><circle cx=\"42\" cy=\"18\" r=\"6\"/>\
         <circle cx=\"62\" cy=\"18\" r=\"6\"/></g>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" \
         font-size=\"{SIZE}\" fill=\"{PLAIN}\" xml:space=\"preserve\">\n\
         <text x=\"{}\" y=\"23\" text-anchor=\"middle\" fill=\"#9aa1af\">{title}</text>\n",
        w / 2,
        title = escape(title),
    );
    for (n, line) in lines.iter().enumerate() {
        write_line(&mut out, line, BAR + PAD + n * LINE + SIZE);
    }
    out + "</g>\n</svg>\n"
}

fn write_line(out: &mut String, line: &[(Pen, String)], y: usize) {
    let mut column = 0;
    for (pen, text) in line {
        let wide = width(text);
        if !text.trim().is_empty() {
            let color = pen.color.map(|c| format!(" fill=\"{}\"", COLORS[c])).unwrap_or_default();
            let bold = if pen.bold { " font-weight=\"bold\"" } else { "" };
            let dim = if pen.dim { " opacity=\"0.65\"" } else { "" };
            // The length is given, so that columns stand in line whatever the font.
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{y}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\"{color}{bold}{dim}>{}</text>",
                PAD as f64 + column as f64 * SIGN,
                wide as f64 * SIGN,
                escape(text),
            );
        }
        column += wide;
    }
}

/// Each line as pieces of one pen; the pen goes on over line ends, as on a terminal.
fn lines(text: &str) -> Vec<Vec<(Pen, String)>> {
    let mut pen = Pen::default();
    text.trim_end_matches('\n').split('\n').map(|line| pieces(line, &mut pen)).collect()
}

fn pieces(line: &str, pen: &mut Pen) -> Vec<(Pen, String)> {
    let mut out: Vec<(Pen, String)> = Vec::new();
    for (i, part) in line.split("\x1b[").enumerate() {
        let mut text = part;
        if i > 0 {
            let Some(end) = part.find(|c: char| ('@'..='~').contains(&c)) else { continue };
            if part[end..].starts_with('m') {
                part[..end].split(';').for_each(|code| pen.set(code));
            }
            text = &part[end + 1..];
        }
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        if !text.is_empty() {
            out.push((*pen, text));
        }
    }
    out
}

impl Pen {
    fn set(&mut self, code: &str) {
        match code.parse::<usize>().unwrap_or(0) {
            0 => *self = Self::default(),
            1 => self.bold = true,
            2 => self.dim = true,
            22 => (self.bold, self.dim) = (false, false),
            c @ 30..=37 => self.color = Some(c - 30),
            c @ 90..=97 => self.color = Some(c - 90),
            39 => self.color = None,
            _ => {}
        }
    }
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screenshot_is_the_same_each_time() {
        let text =
            "\x1b[1mPlan:\x1b[0m 1 to <change> & \x1b[31m1 to destroy\x1b[0m\n\n  \x1b[2mpve2 ████░░\x1b[0m\x1b[2K\n";
        insta::assert_snapshot!(svg("runbook plan evacuate pve2", text));
    }
}
