//! `runbook do`: one action through the same plan, question and journal.

use super::{apply, found, plan};
use crate::app::config::Config;
use crate::app::planning::{self, Request};
use crate::app::{AppError, Exit, doing, running};
use crate::cli::Face;
use crate::cli::args::{Do, ShownAs};
use crate::model::runbook::LockScope;
use crate::model::shell::quote;

pub async fn run(face: &Face, args: Do) -> Result<Exit, AppError> {
    let book = doing::book(&args.action, &args.with)?;
    let inject = apply::inject(&args.act.answers)?;
    if args.act.apply && book.runbook.lock == LockScope::Site {
        let config = Config::load_for(&face.settings, &book.runbook)?;
        running::refuse_if_locked(&face.settings, &config.site.cluster.name)?;
    }
    let request = Request { args: Vec::new(), set: args.with.clone(), cluster: args.cluster.clone() };
    let site = super::open(face, &book.runbook).await?;
    let plan = planning::plan(&site, &book, &request).await?;
    if let Some(path) = &args.act.out
        && plan.failure.is_none()
    {
        planning::save(&plan, path)?;
    }
    if let Some((summary, outputs)) = doing::outputs(&plan).filter(|_| args.act.shown_as != Some(ShownAs::Commands)) {
        found::tell(face, &args.action, summary, &outputs);
        return Ok(Exit::Done);
    }
    if args.act.apply {
        return apply::carry_out(face, &site, plan, args.act.answers, inject).await;
    }
    let cluster = args.cluster.iter().map(|name| format!(" --cluster {}", quote(name))).collect::<String>();
    let again = args.short.unwrap_or_else(|| doing::words(&args.action, &args.with) + &cluster);
    let typed =
        plan::Typed { apply: format!("{again} --apply"), again, show: format!("actions {}", quote(&args.action)) };
    plan::show(face, &plan, &typed, args.act.out.as_deref(), args.act.shown_as);
    Ok(plan::exit_of(&plan))
}
