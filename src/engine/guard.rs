//! Checks what a plan rests on: guards, and who the objects are.

use serde_json::Value;

use super::ports::{Observed, World};
use crate::model::failure::{Class, Failure};
use crate::model::world::{Guard, Identity, Predicate};

/// Reads what the guard is about and compares.
///
/// # Errors
/// It does not hold (class `precondition`, with what was seen), or the reading failed.
pub async fn check_guard(guard: &Guard, world: &dyn World) -> Result<(), Failure> {
    let Observed::Known(value) = world.read(&guard.resource).await? else { return Ok(()) };
    let seen = value.pointer(&guard.pointer).unwrap_or(&Value::Null);
    if holds(guard.predicate, seen, &guard.value) {
        return Ok(());
    }
    let cause = format!("this no longer holds (now {})", in_words(seen));
    Err(Failure::new(Class::Precondition, format!("check that {}", guard.text), cause)
        .remedy("make a new plan: `runbook plan …`"))
}

fn holds(predicate: Predicate, seen: &Value, wanted: &Value) -> bool {
    let numbers = seen.as_f64().zip(wanted.as_f64());
    match predicate {
        Predicate::Equals => seen == wanted || numbers.is_some_and(|(a, b)| a == b),
        Predicate::Differs => seen != wanted,
        // What cannot be compared does not hold: unknown is not healthy.
        Predicate::AtLeast => numbers.is_some_and(|(a, b)| a >= b),
        Predicate::AtMost => numbers.is_some_and(|(a, b)| a <= b),
        Predicate::Absent => seen.is_null(),
    }
}

/// Makes sure that an object is still the one that was planned for.
///
/// # Errors
/// It is gone or another one (class `precondition`), or the reading failed.
pub async fn check_identity(identity: &Identity, world: &dyn World) -> Result<(), Failure> {
    let Observed::Known(value) = world.read(&identity.resource).await? else { return Ok(()) };
    let attempted = format!("make sure that {} is still the one that was planned for", identity.object);
    if value.is_null() {
        return Err(Failure::new(Class::Precondition, attempted, "it does not exist any more")
            .remedy("make a new plan: `runbook plan …`"));
    }
    for (pointer, wanted) in &identity.expect {
        let seen = value.pointer(pointer).unwrap_or(&Value::Null);
        if seen != wanted {
            let what = pointer.trim_start_matches('/').replace('/', " ");
            let cause = format!(
                "another object has its place now: {what} is {}, planned for was {}",
                in_words(seen),
                in_words(wanted)
            );
            return Err(Failure::new(Class::Precondition, attempted, cause)
                .remedy("look at what it is now, then make a new plan: `runbook plan …`"));
        }
    }
    Ok(())
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "absent".to_owned(),
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_compared_does_not_hold() {
        assert!(holds(Predicate::AtLeast, &json!(12), &json!(12.0)));
        assert!(!holds(Predicate::AtLeast, &json!(null), &json!(0)));
        assert!(!holds(Predicate::AtMost, &json!("3"), &json!(4)));
        assert!(holds(Predicate::Absent, &json!(null), &json!(null)));
    }
}
