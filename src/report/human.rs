//! Live progress on a terminal: finished steps scroll up a line each, at most eight run below, a footer counts.
//!
//! The one file that names indicatif. What the lines say is made by plain functions above the drawing.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::crowd::{Crowds, Told};
use super::figures::{clock, count, duration};
use super::plain;
use super::style::{Ink, Look, mark};
use super::text::{clean, clip, fill, width};
use super::view::{RunView, StepView};
use crate::engine::ports::Observer;
use crate::event::{Body, Event, Fact, Note, Outcome};
use crate::model::ids::StepPath;
use crate::sys::UnmarkedKeys;

/// Steps shown while they run.
const ROWS: usize = 8;
const BAR: usize = 16;
/// The widest duration: `59m 59s`.
const TOOK: usize = 7;
const TICK: Duration = Duration::from_millis(500);

/// Draws while a run goes on. Drop it before writing anything else to the same terminal.
pub struct Human {
    look: Look,
    view: RunView,
    crowds: Crowds,
    display: MultiProgress,
    rows: Vec<(StepPath, ProgressBar)>,
    footer: ProgressBar,
    _keys: Option<UnmarkedKeys>,
}

/// Takes the display off the terminal while a question is asked.
#[derive(Clone)]
pub struct Pause(MultiProgress);

impl Pause {
    pub fn around<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.0.suspend(ask)
    }
}

impl Human {
    /// Draws on stderr, if it is a terminal.
    pub fn on_stderr(look: Look) -> Self {
        Self::on(ProgressDrawTarget::stderr(), look)
    }

    fn on(target: ProgressDrawTarget, look: Look) -> Self {
        let display = MultiProgress::with_draw_target(target);
        let footer = display.add(ProgressBar::new_spinner().with_style(timed()));
        footer.enable_steady_tick(TICK);
        let keys = (!display.is_hidden()).then(UnmarkedKeys::new).flatten();
        let (view, crowds) = (RunView::default(), Crowds::default());
        Self { look, view, crowds, display, rows: Vec::new(), footer, _keys: keys }
    }

    /// Goes on with a run of which so much was seen before, by others.
    pub fn since(mut self, view: RunView) -> Self {
        self.view = view;
        self
    }

    /// For whoever asks questions while it draws.
    pub fn pause(&self) -> Pause {
        Pause(self.display.clone())
    }

    /// What was seen so far: for the summary at the end.
    pub fn view(&self) -> &RunView {
        &self.view
    }

    fn draw(&mut self) {
        let view = &self.view;
        let display = &self.display;
        self.rows.retain(|(path, row)| {
            let runs = view.step(path).is_some_and(|s| s.outcome == Outcome::Running);
            if !runs {
                row.finish_and_clear();
                display.remove(row);
            }
            runs
        });
        for step in view.running().take(ROWS + self.rows.len()) {
            if self.rows.len() < ROWS && !self.rows.iter().any(|(path, _)| *path == step.path) {
                // A step that was taken over from another process has run for a while already.
                let already = Duration::from_millis(step.took(view.last).unwrap_or(0));
                let row = ProgressBar::new_spinner().with_style(timed()).with_elapsed(already);
                let row = display.insert_before(&self.footer, row);
                row.enable_steady_tick(TICK);
                self.rows.push((step.path.clone(), row));
            }
        }
        for (path, row) in &self.rows {
            if let Some(step) = view.step(path) {
                row.set_message(running(step, &self.look));
            }
        }
        self.footer.set_message(footer(view, &self.look));
    }
}

/// A message and, behind it, how long it has been there; the clock goes on between events.
fn timed() -> ProgressStyle {
    let took = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let ms = u64::try_from(state.elapsed().as_millis()).unwrap_or(u64::MAX);
        let _ = out.write_str(&duration(ms / 1000 * 1000));
    };
    let style = ProgressStyle::with_template("{msg}  {took}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    style.with_key("took", took)
}

impl Observer for Human {
    fn see(&mut self, event: &Event) {
        self.view.see(event);
        let line = match self.crowds.tell(event, &self.view) {
            Told::ByItself => scrolled(event, &self.view, &self.look),
            Told::Not => None,
            Told::Instead(text) => Some(tenth(&text, event.at, &self.look)),
        };
        if let Some(line) = line {
            // A terminal that went away does not end a run.
            let _ = self.display.println(line);
        }
        self.draw();
    }
}

impl Drop for Human {
    fn drop(&mut self) {
        let _ = self.display.clear();
    }
}

/// The line that an event leaves behind, if it leaves one.
fn scrolled(event: &Event, view: &RunView, look: &Look) -> Option<String> {
    match &event.body {
        // A question is put whole at the prompt, or at the end where nobody answers.
        Body::Fact(
            Fact::Started { .. }
            | Fact::TimerFired { .. }
            | Fact::LockGranted
            | Fact::RunFinished { .. }
            | Fact::Asked { .. },
        )
        | Body::Note(Note::Progress { .. } | Note::Log { .. }) => None,
        Body::Fact(Fact::Finished { path, .. } | Fact::Evaluated { path, .. } | Fact::Approved { path, .. }) => {
            let step = view.step(path)?;
            let over = step.outcome.is_final() || matches!(step.outcome, Outcome::InDoubt(_));
            (over && !step.scope).then(|| finished(step, look, event.at))
        }
        Body::Fact(_) | Body::Note(Note::Message { .. }) => {
            let text = clean(&plain::line(event, view)?);
            let text = format!("{}   {text}", clock(event.at, look.offset));
            Some(look.style.paint(Ink::Dim, &clip(&text, look.width, look.style)))
        }
    }
}

/// `02:15:26 ✓ tag: 40 of 200 over`
fn tenth(text: &str, at: u64, look: &Look) -> String {
    let (sign, ink) = mark(&Outcome::Ok, look.style);
    let head = format!("{} ", clock(at, look.offset));
    let room = look.width.saturating_sub(width(&head) + width(sign) + 1);
    format!("{head}{} {}", look.style.paint(ink, sign), clip(&clean(text), room, look.style))
}

/// `02:15:26 ✓ move[104]  VM 104 (web-1): …  32s`
fn finished(step: &StepView, look: &Look, at: u64) -> String {
    let (sign, ink) = mark(&step.outcome, look.style);
    let took = step.took(at).map(duration).unwrap_or_default();
    let said = match &step.outcome {
        Outcome::Failed(failure) => failure.cause.clone(),
        Outcome::Ok => step.summary.clone().unwrap_or_else(|| step.uses.clone()),
        Outcome::Unchanged => "unchanged".into(),
        Outcome::Skipped(why) => format!("skipped: {why}"),
        other => format!(
            "{}{}",
            other.as_str().replace('_', " "),
            step.cause().map(|c| format!(": {c}")).unwrap_or_default()
        ),
    };
    let head = format!("{} ", clock(at, look.offset));
    let sign = fill(sign, width(look.style.pick("✓", "ok")), false);
    let room = look.width.saturating_sub(width(&head) + width(&sign) + 1 + width(&took) + 2);
    let text = clip(&clean(&format!("{}  {said}", step.path)), room, look.style);
    format!("{head}{} {}  {took}", look.style.paint(ink, &sign), fill(&text, room, false)).trim_end().to_owned()
}

/// `  ▶ move[107]  39% ██████░░░░░░░░░░  6.2 GiB of 16.0 GiB, 112.0 MiB/s`, with room behind it for how long.
fn running(step: &StepView, look: &Look) -> String {
    let style = look.style;
    let asked_for = || (step.summary.clone().unwrap_or_default(), None);
    let (line, share) = step.progress.clone().unwrap_or_else(asked_for);
    let attempt = if step.attempts > 1 { format!(" (attempt {})", step.attempts) } else { String::new() };
    let far = share.map(|s| format!("  {:>3.0}% {}", s * 100.0, style.bar(s, BAR))).unwrap_or_default();
    let room = look.width.saturating_sub(4 + 2 + TOOK);
    let text = clip(&clean(&format!("{}{attempt}{far}  {line}", step.path)), room, style);
    format!("  {} {}", style.paint(Ink::Info, style.pick("▶", ">")), fill(&text, room, false))
}

/// `  12 of 40 steps: 9 ok, 2 unchanged, 1 skipped; 3 running`
fn footer(view: &RunView, look: &Look) -> String {
    const OVER: [&str; 6] = ["ok", "unchanged", "skipped", "failed", "cancelled", "not_run"];
    let over: usize = OVER.iter().map(|word| view.count(word)).sum();
    let counts: Vec<String> = OVER
        .iter()
        .chain(&["in_doubt", "waiting"])
        .filter(|word| view.count(word) > 0)
        .map(|word| format!("{} {}", view.count(word), word.replace('_', " ")))
        .collect();
    let mut text = format!("  {over} of {}", count(view.total(), "step", "steps"));
    if !counts.is_empty() {
        text.push_str(&format!(": {}", counts.join(", ")));
    }
    let running = view.running_count();
    if running > 0 {
        text.push_str(&format!("; {running} running"));
    }
    if running > ROWS {
        text.push_str(&format!(" ({} not shown)", running - ROWS));
    }
    look.style.paint(Ink::Bold, &clip(&text, look.width.saturating_sub(2 + TOOK), look.style))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Style, sample};

    /// What is on the screen at the end of `events`: what scrolled, the rows and the footer.
    fn screen(events: &[Event], look: Look) -> String {
        let mut view = RunView::default();
        let mut lines = Vec::new();
        for event in events {
            view.see(event);
            lines.extend(scrolled(event, &view, &look));
        }
        lines.extend(view.running().map(|s| running(s, &look)));
        lines.push(footer(&view, &look));
        lines.join("\n")
    }

    #[test]
    fn half_way_on_a_usual_terminal() {
        let look = Look { style: Style { color: false, unicode: true }, width: 100, offset: 0 };
        insta::assert_snapshot!(screen(&sample::failed_run()[..sample::DURING], look));
    }

    #[test]
    fn half_way_on_a_narrow_terminal_without_unicode() {
        let look = Look { width: 60, ..Look::default() };
        insta::assert_snapshot!(screen(&sample::failed_run()[..sample::DURING], look));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [60, 80, 160] {
            let look = Look { style: Style { color: false, unicode: true }, width, offset: 0 };
            for line in screen(&sample::rolled_back_run(), look).lines() {
                assert!(super::width(line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn the_display_follows_a_run_to_its_end() {
        let mut human = Human::on(ProgressDrawTarget::hidden(), Look::default());
        for event in &sample::failed_run()[..sample::DURING] {
            human.see(event);
        }
        assert_eq!(human.rows.len(), 1);
        assert_eq!(human.pause().around(|| 7), 7);
        sample::failed_run()[sample::DURING..].iter().for_each(|e| human.see(e));
        assert_eq!((human.rows.len(), human.view().status.as_str()), (0, "failed"));
    }
}
