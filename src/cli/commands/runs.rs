//! `runbook runs`, `status` and `logs`.

use crate::app::ports::Observer;
use crate::app::{AppError, Exit, inspect};
use crate::cli::Face;
use crate::cli::args::Output;
use crate::model::ids::StepPath;
use crate::report::{self, FORMAT_VERSION, JsonLines, RunLine, RunView};

pub fn list(face: &Face, limit: u32) -> Result<Exit, AppError> {
    let runs = inspect::runs(&face.settings, Some(limit))?;
    let rows: Vec<_> = runs
        .iter()
        .map(|(_, h)| {
            serde_json::json!({
                "run": h.id, "runbook": h.runbook, "site": h.site, "cluster": h.cluster,
                "status": h.state(), "created": h.created, "actor": h.actor,
            })
        })
        .collect();
    if face.printer.json(&serde_json::json!({"format_version": FORMAT_VERSION, "runs": rows})) {
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        face.printer.note("No runs yet.");
        return Ok(Exit::Done);
    }
    let lines = runs.iter().map(|(short, h)| RunLine {
        id: short,
        runbook: &h.runbook,
        site: &h.site,
        cluster: h.cluster.as_deref(),
        state: h.state(),
        created: h.created,
        updated: h.updated,
        actor: &h.actor,
    });
    face.printer.data(&report::runs(lines, face.printer.look()));
    Ok(Exit::Done)
}

pub fn status(face: &Face, asked: &str) -> Result<Exit, AppError> {
    let found = inspect::run(&face.settings, asked)?;
    let view = RunView::of(&found.events);
    let state = found.header.state();
    if !face.printer.json(&report::run_json(&view, state)) {
        face.printer.data(&report::status(&view, state, &found.short, face.printer.look()));
    }
    Ok(Exit::Done)
}

pub fn logs(face: &Face, asked: &str, step: Option<&str>) -> Result<Exit, AppError> {
    let found = inspect::run(&face.settings, asked)?;
    let step = step.map(StepPath::new);
    if let Some(step) = &step
        && !found.events.iter().any(|event| event.path() == Some(step))
    {
        let view = RunView::of(&found.events);
        let known: Vec<&str> = view.steps().map(|s| s.path.as_str()).collect();
        return Err(AppError::new(
            Exit::NotFound,
            "run::unknown_step",
            format!("run {} has no step {step}", found.short),
        )
        .hint(format!("its steps: {}", known.join(", "))));
    }
    let wanted = found.events.iter().filter(|event| step.is_none() || event.path() == step.as_ref());
    if face.printer.output == Output::Jsonl {
        let mut lines = JsonLines::new(Vec::new());
        wanted.for_each(|event| lines.see(event));
        face.printer.data(&String::from_utf8_lossy(&lines.into_inner()));
        return Ok(Exit::Done);
    }
    if face.printer.json(&serde_json::json!({
        "format_version": FORMAT_VERSION, "run": found.header.id, "events": wanted.collect::<Vec<_>>(),
    })) {
        return Ok(Exit::Done);
    }
    face.printer.data(&report::logs(&found.events, step.as_ref(), face.printer.look()));
    Ok(Exit::Done)
}
