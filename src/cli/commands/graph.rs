//! `runbook graph`: the picture of a runbook or of a saved plan.

use crate::app::{AppError, Exit, books, planning};
use crate::cli::Face;
use crate::cli::args::GraphFormat;
use crate::report::Graph;

pub fn run(face: &Face, name: &str, format: GraphFormat) -> Result<Exit, AppError> {
    let graph = graph(face, name)?;
    if face.printer.json(&graph.json()) {
        return Ok(Exit::Done);
    }
    let text = match format {
        GraphFormat::Text => graph.text(face.printer.look()),
        GraphFormat::Svg => graph.svg(),
        GraphFormat::Dot => graph.dot(),
        GraphFormat::Mermaid => graph.mermaid(),
        GraphFormat::Json => serde_json::to_string_pretty(&graph.json()).unwrap_or_default(),
    };
    face.printer.data(&text);
    Ok(Exit::Done)
}

fn graph(face: &Face, name: &str) -> Result<Graph, AppError> {
    let catalogue = crate::app::action_specs();
    let path = face.settings.cwd.join(name);
    // A runbook's own file is one by its ending; a plan beside it may have any name but that of a runbook.
    let text = name.ends_with(".yaml") || name.ends_with(".yml");
    if !text && path.is_file() && (name.contains(['.', '/']) || books::source_of(&face.settings, name).is_err()) {
        return Ok(Graph::of_plan(&planning::read_saved(&path)?, &catalogue));
    }
    Ok(Graph::of_runbook(&books::find(&face.settings, name)?.runbook, &catalogue))
}
