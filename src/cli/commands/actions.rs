//! `runbook actions`: the catalogue.

use crate::app::{AppError, Exit};
use crate::cli::Face;
use crate::cli::args::Output;
use crate::model::action_spec::ActionSpec;
use crate::report::{Cell, Column, FORMAT_VERSION, Table};

pub fn run(face: &Face, name: Option<&str>) -> Result<Exit, AppError> {
    let specs = crate::app::action_specs();
    match name {
        Some(name) => {
            let spec = specs.get(name).ok_or_else(|| {
                AppError::new(Exit::NotFound, "action::unknown", format!("no action {name:?}"))
                    .hint("`runbook actions` lists them")
            })?;
            if !face.printer.json(&serde_json::json!({"format_version": FORMAT_VERSION, "action": spec})) {
                face.printer.data(&describe(spec, face));
            }
        }
        None => {
            if face.printer.json(&serde_json::json!({
                "format_version": FORMAT_VERSION, "actions": specs.values().collect::<Vec<_>>(),
            })) {
                return Ok(Exit::Done);
            }
            if face.printer.output == Output::Name {
                face.printer.data(&specs.keys().cloned().collect::<Vec<_>>().join("\n"));
                return Ok(Exit::Done);
            }
            let columns = [Column::new("action"), Column::new("effect"), Column::new("what it does").flexible()];
            let mut table = Table::new(&columns);
            for spec in specs.values() {
                table.row(vec![Cell::new(&spec.name), Cell::new(spec.effect.as_str()), Cell::new(&spec.title)]);
            }
            face.printer.data(&table.render(face.printer.look(), 0));
        }
    }
    Ok(Exit::Done)
}

fn describe(spec: &ActionSpec, face: &Face) -> String {
    let undo = if spec.undoable { "has an inverse" } else { "has no inverse" };
    let mut text =
        format!("{} (version {})\n{}\neffect: {}, {undo}\n", spec.name, spec.version, spec.title, spec.effect.as_str());
    let mut table =
        Table::new(&[Column::new("with"), Column::new("type"), Column::new(""), Column::new("").flexible()]);
    for param in &spec.params {
        let need = match (&param.default, param.required) {
            (Some(value), _) => format!("default {}", crate::app::shown_value(param, value)),
            (None, true) => "required".into(),
            (None, false) => String::new(),
        };
        let help = param.help.clone().unwrap_or_default();
        table.row(vec![Cell::new(&param.name), Cell::new(param.ty.as_str()), Cell::new(need), Cell::new(help)]);
    }
    text.push_str(&format!("\n{}", table.render(face.printer.look(), 2)));
    if !spec.outputs.is_empty() {
        let mut table = Table::new(&[Column::new("puts out"), Column::new("type"), Column::new("").flexible()]);
        for output in &spec.outputs {
            table.row(vec![Cell::new(&output.name), Cell::new(output.ty.as_str()), Cell::new(&output.help)]);
        }
        text.push_str(&format!("\n{}", table.render(face.printer.look(), 2)));
    }
    if !spec.privileges.is_empty() {
        text.push_str(&format!("\nThe token needs: {}\n", spec.privileges.join("; ")));
    }
    text
}
