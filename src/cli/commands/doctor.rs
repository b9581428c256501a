//! `runbook doctor`.

use crate::app::{AppError, Exit, books, doctor};
use crate::cli::Face;
use crate::report::{Cell, Column, FORMAT_VERSION, Table};

pub async fn run(face: &Face, runbook: Option<&str>) -> Result<Exit, AppError> {
    let book = runbook.map(|name| books::find(&face.settings, name)).transpose()?;
    let runbook = book.as_ref().map(|book| &book.runbook);
    let (findings, exit) = doctor::doctor(&face.settings, &face.redactor, runbook).await?;
    let rows: Vec<_> = findings
        .iter()
        .map(|f| serde_json::json!({"what": f.what, "ok": f.state != doctor::State::Failed, "state": f.state.as_str(), "says": f.says, "remedy": f.remedy}))
        .collect();
    if face.printer.json(&serde_json::json!({"format_version": FORMAT_VERSION, "findings": rows})) {
        return Ok(exit);
    }
    let mut table = Table::new(&[Column::new(""), Column::new("what"), Column::new("found").flexible()]);
    for finding in &findings {
        table.row(vec![Cell::new(finding.state.as_str()), Cell::new(&finding.what), Cell::new(&finding.says)]);
    }
    let mut text = table.render(face.printer.look(), 0);
    for finding in &findings {
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("\n{}: {remedy}\n", finding.what));
        }
    }
    face.printer.data(&text);
    Ok(exit)
}
