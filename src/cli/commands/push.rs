//! `runbook inventory push`: `runbook run` of one runbook, in fewer words. Nothing is decided here.

use super::{apply, plan, reported};
use crate::app::{AppError, Exit};
use crate::cli::Face;
use crate::cli::args::{Plan, Push, PushNetbox, What};

const RUNBOOK: &str = "inventory-sync";

pub async fn run(face: &Face, push: Push) -> Result<Exit, AppError> {
    let Push::Netbox(args) = push;
    let (what, act) = (of_netbox(&args), args.act);
    if !act.apply {
        let plan = Plan { what, out: act.out, detailed_exitcode: false, shown_as: act.shown_as };
        return plan::run(face, &plan).await;
    }
    let junit = act.answers.junit.clone();
    reported(face, junit, RUNBOOK, apply::run(face, what, act.out.as_deref(), act.answers)).await
}

fn of_netbox(args: &PushNetbox) -> What {
    let flags = [("delete_orphans", args.delete_orphans), ("adopt", args.adopt), ("templates", args.templates)];
    let set = flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name.to_owned(), "true".to_owned()));
    let cluster = args.cluster.iter().map(|name| ("cluster".to_owned(), name.clone()));
    What { name: RUNBOOK.into(), args: Vec::new(), set: set.chain(cluster).collect(), cluster: None }
}
