//! A plan as the commands of a person who takes over by hand. Whatever is not to be typed is a comment.

use serde_json::{Value, json};

use super::FORMAT_VERSION;
use super::text::clean;
use crate::model::effect::Effect;
use crate::model::plan::{Change, Plan, PlanStep, Planned};

/// The commands in order, with a comment for each step. `again` is the command that made the plan.
pub fn commands_text(plan: &Plan, again: &str) -> String {
    let hash: String = plan.hash.chars().take(12).collect();
    let mut out = comment(&format!("By hand: what `{again}` would do on site {} (plan {hash})", plan.inputs.site));
    out.push_str(
        "# Type it as root on a node of the cluster that stays up, a command after the other; each check tells\n",
    );
    out.push_str("# whether to go on. Nothing keeps a journal of it, and nobody locks the site.\n");
    for warning in &plan.warnings {
        out.push_str(&comment(&format!("Warning: {warning}")));
    }
    for step in plan.steps.iter().filter(|step| !matches!(step.planned, Planned::Skipped(_))) {
        out.push('\n');
        self::step(step, &mut out);
    }
    if let Some(failed) = &plan.failure {
        out.push('\n');
        out.push_str(&comment(&format!("The plan fails at {}: {}", failed.path, failed.failure)));
        out.push_str("# What would follow is not known.\n");
    }
    out
}

fn step(step: &PlanStep, out: &mut String) {
    out.push_str(&comment(&format!("{}: {}", step.path, step.summary)));
    for note in &step.notes {
        out.push_str(&comment(&format!("note: {note}")));
    }
    match &step.planned {
        Planned::Gate { word, .. } => {
            let word = word.as_ref().map(|word| format!(" (with the word {word})")).unwrap_or_default();
            out.push_str(&comment(&format!("somebody must agree to this before the next command{word}")));
        }
        Planned::Unchanged => out.push_str("# nothing to do: it is so already\n"),
        _ if step.effect == Effect::Read || step.change == Change::Read => {
            out.push_str("# it only looks: nothing to type\n");
        }
        _ if !step.commands.is_empty() => {
            if step.planned == Planned::Maybe {
                out.push_str("# whether it is to be done is known only when the steps before it are\n");
            }
            for command in &step.commands {
                // Whatever a name holds, it stays on its line.
                out.push_str(&clean(command));
                out.push('\n');
            }
        }
        _ if !step.unknown.is_empty() || step.change == Change::Unknown => {
            out.push_str("# its command is known only when the steps before it are done: plan again then\n");
        }
        _ => out.push_str("# no command does the same\n"),
    }
}

fn comment(text: &str) -> String {
    format!("# {}\n", clean(text))
}

/// `format_version`, and for each step its `path`, `summary`, `planned` and `commands`.
pub fn commands_json(plan: &Plan) -> Value {
    let step = |step: &PlanStep| {
        json!({
            "path": step.path, "summary": step.summary, "effect": step.effect, "change": step.change,
            "commands": step.commands,
        })
    };
    json!({
        "format_version": FORMAT_VERSION,
        "runbook": plan.runbook,
        "hash": plan.hash,
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "failure": plan.failure.as_ref().map(|f| json!({"path": f.path, "failure": f.failure})),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn whatever_is_no_command_is_a_comment() {
        let mut plan = sample::plan();
        let mut changed = plan.steps.iter_mut().filter(|step| step.effect > Effect::Read);
        changed.next().unwrap().commands = vec!["pvesh create /x".into(), "# check: pvesh get /x\nreboot".into()];
        plan.steps[0].summary = "a name\nreboot".into();
        plan.warnings.push("first\nreboot".into());
        let text = commands_text(&plan, "runbook plan evacuate pve2");
        let typed: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        assert_eq!(typed, ["pvesh create /x"], "{text}");
        for said in ["no command does the same", "somebody must agree", "it only looks"] {
            assert!(text.contains(said), "{said}:\n{text}");
        }
    }

    #[test]
    fn a_failed_plan_says_where_it_ends() {
        let text = commands_text(&sample::failed_plan(), "runbook plan evacuate pve2");
        assert!(text.contains("# The plan fails at placement: "), "{text}");
    }
}
