//! `runbook approve`, `cancel`, `pause`, `abandon` and `rollback`: a run is told, or taken up where no process has it.

use serde_json::json;

use super::apply::{self, Taking};
use crate::app::control::{self, Open};
use crate::app::inspect::{self, Inspected};
use crate::app::ports::Answer;
use crate::app::running::{self, Purpose};
use crate::app::{AppError, Exit, freeze};
use crate::cli::args::{Answers, Approve, Cancel, Decide, OfRun};
use crate::cli::{Face, ask};
use crate::event::{Decision, Request, Signal};
use crate::report::{self, FORMAT_VERSION};

pub async fn approve(face: &Face, args: Approve) -> Result<Exit, AppError> {
    let found = inspect::run(&face.settings, &args.run)?;
    let open = control::question(&found, args.step.as_deref())?;
    face.printer.note(report::question(&open.question, face.printer.err_look()).trim_end());
    let answer = answer(face, &args, &open)?;
    if found.header.owned || args.record {
        let (path, attempt, said) = (Some(open.path.clone()), Some(open.attempt), answer.clone());
        let request = match said {
            Answer::Approved { word, .. } => Request::Approve { path, attempt, word },
            Answer::Declined { why, .. } => Request::Decline { path, attempt, why },
            Answer::Decided { decision, .. } => Request::Decide { path, attempt, decision },
            Answer::Nobody => return Ok(Exit::Gate),
        };
        let next = if found.header.owned { "it goes on where it runs" } else { "whoever resumes it goes on" };
        return told(face, &found, &request, next);
    }
    freeze::refuse_if_frozen(&face.settings, &found.header.site)?;
    let given = Some((open.path, answer));
    apply::take_up(face, found, Taking { purpose: Purpose::GoOn, first: Vec::new(), answers: args.answers, given })
        .await
}

fn answer(face: &Face, args: &Approve, open: &Open) -> Result<Answer, AppError> {
    let who = face.settings.actor.clone();
    if let Some(why) = &args.decline {
        return Ok(Answer::Declined { who, why: why.clone() });
    }
    let options = &open.question.options;
    if !options.is_empty() || args.decide.is_some() {
        let decision = args.decide.map(decision).filter(|decision| options.contains(decision));
        let words = options.iter().map(|o| o.as_str()).collect::<Vec<_>>().join(", ");
        return decision.map(|decision| Answer::Decided { who, decision }).ok_or_else(|| {
            let message = format!("{} asks what is to become of it", open.path);
            let hint =
                if words.is_empty() { "it asks for a yes or a no".to_owned() } else { format!("--decide: {words}") };
            AppError::new(Exit::Usage, "approve::decision", message).hint(hint)
        });
    }
    let Some(word) = &open.question.word else { return Ok(Answer::Approved { who, word: None }) };
    let typed = args.answers.confirm.contains(word)
        || args.answers.confirm.is_empty() && ask::at_terminal() && ask::typed("") == *word;
    if typed {
        return Ok(Answer::Approved { who, word: Some(word.clone()) });
    }
    Err(AppError::new(Exit::Gate, "approve::word", format!("{} asks for a word, which was not given", open.path))
        .hint(format!("--confirm {}", crate::model::shell::quote(word))))
}

fn decision(asked: Decide) -> Decision {
    match asked {
        Decide::Retry => Decision::Retry,
        Decide::Skip => Decision::Skip,
        Decide::Done => Decision::Done,
        Decide::RollBack => Decision::RollBack,
        Decide::Stop => Decision::Stop,
    }
}

pub async fn cancel(face: &Face, args: Cancel) -> Result<Exit, AppError> {
    let found = inspect::run(&face.settings, &args.run)?;
    if found.header.owned {
        let signal = Signal::Cancel { level: if args.now { 2 } else { 1 }, rollback: args.rollback };
        return told(face, &found, &Request::Signal(signal), "what is in flight finishes first");
    }
    running::refuse_if_over(&found.header, &found.short)?;
    face.printer.note(&format!("Bringing run {} of {} to its end.", found.short, found.header.runbook));
    let purpose = Purpose::Cancel { rollback: args.rollback };
    apply::take_up(face, found, Taking { purpose, first: Vec::new(), answers: args.answers, given: None }).await
}

pub fn pause(face: &Face, asked: &str) -> Result<Exit, AppError> {
    let found = inspect::run(&face.settings, asked)?;
    running::refuse_if_over(&found.header, &found.short)?;
    if !found.header.owned {
        let state = found.header.state().replace('_', " ");
        return Err(AppError::new(Exit::Gate, "run::not_running", format!("run {} is {state}", found.short))
            .hint("only a run that is going on can be paused"));
    }
    let next = format!("it keeps its lock; `runbook resume {}` goes on with it", found.short);
    told(face, &found, &Request::Signal(Signal::Pause), &next)
}

pub async fn abandon(face: &Face, args: OfRun) -> Result<Exit, AppError> {
    let found = inspect::run(&face.settings, &args.run)?;
    if found.header.owned {
        return told(face, &found, &Request::Signal(Signal::Abandon), "what is in flight finishes first");
    }
    running::refuse_if_over(&found.header, &found.short)?;
    let question = format!("Give up run {}? What it has done stays done.", found.short);
    if !confirmed(face, &args.answers, &question)? {
        return Ok(Exit::Gate);
    }
    apply::take_up(
        face,
        found,
        Taking { purpose: Purpose::Abandon, first: Vec::new(), answers: args.answers, given: None },
    )
    .await
}

pub async fn rollback(face: &Face, args: OfRun) -> Result<Exit, AppError> {
    let found = inspect::run(&face.settings, &args.run)?;
    freeze::refuse_if_frozen(&face.settings, &found.header.site)?;
    if found.header.owned {
        return told(face, &found, &Request::Signal(Signal::RollBack), "what is in flight finishes first");
    }
    let site = super::open(face, found.procedure()?).await?;
    let steps = control::undoing(&found, &site)?;
    let lines: Vec<String> = steps.iter().map(|step| format!("{}: {}", step.path, step.by)).collect();
    if !steps.iter().any(|step| step.does) {
        let message = format!("run {} has nothing that could be rolled back", found.short);
        return Err(AppError::new(Exit::Gate, "rollback::nothing", message)
            .details(lines)
            .hint(format!("see `runbook status {}`", found.short)));
    }
    if found.header.status.is_final() {
        control::still_as_left(&found, &site).await?;
    }
    let over = match found.header.status {
        status if status.is_final() => format!(", which is over (it {})", running::in_words(status)),
        _ => String::new(),
    };
    face.printer.note(&format!(
        "Rolling back run {} of {}{}, the last first; what is so already is left alone:\n  {}",
        found.short,
        found.header.runbook,
        over,
        lines.join("\n  ")
    ));
    if !confirmed(face, &args.answers, "Undo these?")? {
        return Ok(Exit::Gate);
    }
    apply::take_up(
        face,
        found,
        Taking { purpose: Purpose::RollBack, first: Vec::new(), answers: args.answers, given: None },
    )
    .await
}

fn confirmed(face: &Face, answers: &Answers, question: &str) -> Result<bool, AppError> {
    if answers.yes {
        return Ok(true);
    }
    if !ask::at_terminal() {
        let message = "nobody has said yes, and there is no terminal to ask at";
        return Err(AppError::new(Exit::Gate, "apply::unconfirmed", message).hint("add --yes"));
    }
    let yes = ask::yes(question);
    if !yes {
        face.printer.note("Nothing was changed.");
    }
    Ok(yes)
}

fn told(face: &Face, found: &Inspected, request: &Request, next: &str) -> Result<Exit, AppError> {
    control::tell(&face.settings, &found.header, request)?;
    face.printer.json(&json!({"format_version": FORMAT_VERSION, "run": found.header.id, "told": request}));
    face.printer.note(&format!("Run {} is told: {next}.", found.short));
    Ok(Exit::Done)
}
