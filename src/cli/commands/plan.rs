//! `runbook plan`, and `runbook run` without `--apply`, which is the same.

use crate::app::open::OpenSite;
use crate::app::{AppError, Exit, books, planning};
use crate::cli::Face;
use crate::cli::args::{Output, Plan as Args, ShownAs, What};
use crate::model::plan::Plan;
use crate::model::shell::quote;
use crate::report::{PlanText, Purpose, commands_json, commands_text, plan_json};

pub async fn run(face: &Face, args: &Args) -> Result<Exit, AppError> {
    let detailed = args.detailed_exitcode;
    match plan_and_show(face, args).await {
        Ok(exit) if !detailed => Ok(exit.0),
        // Terraform's contract: every error is 1, changes are 2.
        Ok((Exit::Done, true)) => Ok(Exit::Usage),
        Ok((Exit::Done, false)) => Ok(Exit::Done),
        Ok(_) => Ok(Exit::Failed),
        Err(mut error) => {
            if detailed {
                error.exit = Exit::Failed;
            }
            Err(error)
        }
    }
}

/// The exit code, and whether anything would change.
async fn plan_and_show(face: &Face, args: &Args) -> Result<(Exit, bool), AppError> {
    let (_, plan) = make(face, &args.what).await?;
    if let Some(path) = &args.out
        && plan.failure.is_none()
    {
        planning::save(&plan, path)?;
    }
    let words = words(&args.what);
    let typed = Typed {
        apply: format!("run {words} --apply"),
        again: format!("plan {words}"),
        show: format!("show {}", quote(&args.what.name)),
    };
    show(face, &plan, &typed, args.out.as_deref(), args.shown_as);
    Ok((exit_of(&plan), plan.summary.changes()))
}

/// What a plan means for the exit code.
pub fn exit_of(plan: &Plan) -> Exit {
    plan.failure.as_ref().map_or(Exit::Done, |failed| crate::app::exit_of(failed.failure.class).0)
}

/// What was typed, as commands without `runbook`: to apply the plan, to make it again, to read what it is of.
pub struct Typed {
    pub apply: String,
    pub again: String,
    pub show: String,
}

/// Opens the site and plans.
pub async fn make(face: &Face, what: &What) -> Result<(OpenSite, Plan), AppError> {
    make_of(face, &books::find(&face.settings, &what.name)?, what).await
}

/// The same of a runbook that was read.
pub async fn make_of(face: &Face, book: &books::Book, what: &What) -> Result<(OpenSite, Plan), AppError> {
    let request = planning::Request { args: what.args.clone(), set: what.set.clone(), cluster: what.cluster.clone() };
    // A wrong parameter is said before anything is contacted.
    planning::bind(&book.runbook, &request)?;
    let site = super::open(face, &book.runbook).await?;
    let plan = planning::plan(&site, book, &request).await?;
    Ok((site, plan))
}

/// Shows a plan of which nothing is done.
pub fn show(face: &Face, plan: &Plan, typed: &Typed, out: Option<&std::path::Path>, shown_as: Option<ShownAs>) {
    if shown_as == Some(ShownAs::Commands) {
        if !face.printer.json(&commands_json(plan)) {
            face.printer.data(&commands_text(plan, &format!("runbook {}{}", lab_flag(face), typed.again)));
        }
        return;
    }
    let lab = face.args.lab.is_some();
    let command = match out {
        Some(path) if !lab => format!("runbook apply {}", path.display()),
        _ => format!("runbook {}{}", lab_flag(face), typed.apply),
    };
    if face.printer.json(&plan_json(plan)) {
        return;
    }
    if face.printer.output == Output::Name {
        face.printer.data(&plan.steps.iter().map(|s| s.path.as_str()).collect::<Vec<_>>().join("\n"));
        return;
    }
    let purpose = Purpose::DryRun { command: &command };
    let next = [format!("runbook {}{}", lab_flag(face), next(plan, &typed.show))];
    face.printer.data(&PlanText { plan, purpose, look: *face.printer.look(), next: &next }.render());
}

/// What to look at after a refusal: the same command once more would be refused once more.
fn next(plan: &Plan, show: &str) -> String {
    use crate::model::failure::Class;
    match plan.failure.as_ref().map(|failed| failed.failure.class) {
        Some(Class::Refused | Class::Unreachable | Class::Timeout | Class::Transient) => "doctor".into(),
        Some(Class::Locked) => "runs".into(),
        _ => show.to_owned(),
    }
}

fn lab_flag(face: &Face) -> String {
    match face.args.lab.as_deref() {
        None => String::new(),
        Some("three-node") => "--lab ".to_owned(),
        Some(scenario) => format!("--lab={scenario} "),
    }
}

/// What was asked for, as it was typed.
pub fn words(what: &What) -> String {
    let mut words = vec![what.name.clone()];
    words.extend(what.args.iter().map(|word| quote(word)));
    words.extend(what.set.iter().map(|(name, value)| format!("--set {}", quote(&format!("{name}={value}")))));
    words.extend(what.cluster.iter().map(|name| format!("--cluster {}", quote(name))));
    words.join(" ")
}
