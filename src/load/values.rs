//! The values of a run's parameters, from the command line.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::nearest::nearest;
use crate::model::param::{Param, Positional};
use crate::model::runbook::Runbook;
use crate::model::value::{ParamError, coerce, coerce_text, expected};

/// The parameters of a run from the command line: positional arguments and `--set NAME=VALUE`.
///
/// Literal defaults are filled in and what is optional and absent is null, so that every declared parameter has
/// a value; a default that is an expression stays a text for [`fill_defaults`](super::params::fill_defaults).
/// Errors: all that is unknown, missing or of the wrong shape, at once.
pub fn bind_params(
    runbook: &Runbook,
    positional: &[String],
    set: &[(String, String)],
) -> Result<BTreeMap<String, Value>, Vec<ParamError>> {
    let mut binding = Binding { runbook, bound: BTreeMap::new(), errors: Vec::new() };
    binding.positional(positional);
    for (name, text) in set {
        match runbook.params.iter().find(|p| p.name == *name) {
            Some(param) => binding.bind(param, coerce_text(param, text)),
            None => binding.errors.push(unknown(runbook, name)),
        }
    }
    binding.defaults();
    if binding.errors.is_empty() {
        Ok(binding.bound.into_iter().map(|(name, value)| (name, value.unwrap_or(Value::Null))).collect())
    } else {
        Err(binding.errors)
    }
}

/// Parameters that are being given their values.
struct Binding<'r> {
    runbook: &'r Runbook,
    /// Nothing for a value that was given and refused.
    bound: BTreeMap<String, Option<Value>>,
    errors: Vec<ParamError>,
}

impl Binding<'_> {
    fn bind(&mut self, param: &Param, result: Result<Value, ParamError>) {
        let value = result.map_err(|error| self.errors.push(error)).ok();
        if self.bound.insert(param.name.clone(), value).is_some() {
            self.errors.push(ParamError {
                param: param.name.clone(),
                got: "given twice".into(),
                expected: "give it once, as an argument or with --set".into(),
            });
        }
    }

    fn positional(&mut self, arguments: &[String]) {
        let params = &self.runbook.params;
        let numbered = params.iter().filter(|p| matches!(p.positional, Some(Positional::Nth(_)))).count();
        let rest = arguments.get(numbered..).unwrap_or_default();
        for param in params {
            match param.positional {
                Some(Positional::Nth(n)) => {
                    if let Some(text) = arguments.get(n - 1) {
                        self.bind(param, coerce_text(param, text));
                    }
                }
                Some(Positional::Rest) if !rest.is_empty() => {
                    let list = rest.iter().map(|t| Value::from(t.as_str())).collect();
                    self.bind(param, coerce(param, &Value::Array(list)));
                }
                _ => {}
            }
        }
        if params.iter().any(|p| p.positional == Some(Positional::Rest)) {
            return;
        }
        for (i, text) in rest.iter().enumerate() {
            self.errors.push(ParamError {
                param: (numbered + i + 1).to_string(),
                got: format!("the argument `{text}` is one too many"),
                expected: format!(
                    "`{}` takes {numbered} by position; name others with --set NAME=VALUE",
                    self.runbook.name
                ),
            });
        }
    }

    fn defaults(&mut self) {
        for param in &self.runbook.params {
            if self.bound.contains_key(&param.name) {
                continue;
            }
            if param.default.is_none() && param.required {
                self.errors.push(ParamError {
                    param: param.name.clone(),
                    got: "not given".into(),
                    expected: format!("expected {}", expected(param.ty)),
                });
            }
            self.bound.insert(param.name.clone(), param.default.clone());
        }
    }
}

fn unknown(runbook: &Runbook, name: &str) -> ParamError {
    let names: Vec<&str> = runbook.params.iter().map(|p| p.name.as_str()).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => format!("`{}` takes no parameters", runbook.name),
        None => format!("`{}` takes {}", runbook.name, names.join(", ")),
    };
    ParamError { param: name.into(), got: "there is no such parameter".into(), expected: hint }
}
