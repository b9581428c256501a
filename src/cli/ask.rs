//! Questions to the person at the terminal. Without a terminal a run waits for an answer from elsewhere.

use std::io::{BufRead, IsTerminal, Write};

use async_trait::async_trait;
use secrecy::SecretString;

use super::args::Answers;
use super::printer::Printer;
use crate::app::ports::{Answer, Approver};
use crate::app::{AppError, Exit};
use crate::event::Question;
use crate::model::ids::StepPath;
use crate::report::{self, Pause};

/// Whoever sits at the terminal, and what they said beforehand.
pub struct Person {
    pub answers: Answers,
    pub who: String,
    pub printer: Printer,
    /// Takes the live display away while a question is asked.
    pub pause: Option<Pause>,
}

#[async_trait]
impl Approver for Person {
    async fn ask(&self, path: &StepPath, question: &Question) -> Answer {
        let who = self.who.clone();
        if let Some(word) = &question.word
            && self.answers.confirm.contains(word)
        {
            return Answer::Approved { who, word: Some(word.clone()) };
        }
        let plain = question.word.is_none() && question.options.is_empty() && !question.expands;
        if plain && self.answers.yes || question.expands && self.answers.auto_expand {
            return Answer::Approved { who, word: None };
        }
        if !at_terminal() {
            return Answer::Nobody;
        }
        let text = format!("{path} {}", report::question(question, self.printer.err_look()));
        if !question.options.is_empty() {
            let mut said = self.read(text.clone()).await;
            loop {
                if let Some(decision) = question.options.iter().copied().find(|o| o.as_str() == said) {
                    return Answer::Decided { who, decision };
                }
                // The end of input is nobody's answer.
                if said.is_empty() {
                    return Answer::Nobody;
                }
                said = self.read(format!("{said:?} is none of them. {text}")).await;
            }
        }
        let said = self.read(text).await;
        let fits = match &question.word {
            Some(word) => said == *word,
            None => is_yes(&said),
        };
        if fits {
            Answer::Approved { who, word: question.word.clone() }
        } else {
            Answer::Declined { who, why: format!("answered {said:?}") }
        }
    }
}

impl Person {
    async fn read(&self, text: String) -> String {
        let pause = self.pause.clone();
        let said = tokio::task::spawn_blocking(move || match pause {
            Some(pause) => pause.around(|| read_answer(&text)),
            None => read_answer(&text),
        });
        said.await.unwrap_or_default()
    }
}

/// What is typed after `prompt`.
pub fn typed(prompt: &str) -> String {
    read_answer(prompt)
}

/// The same without showing it.
///
/// # Errors
/// The terminal does not say how it is set, so that the text would be seen.
pub fn hidden(prompt: &str) -> Result<SecretString, AppError> {
    let said = crate::app::without_echo(|| read_answer(prompt)).map_err(|e| {
        AppError::new(Exit::Failed, "ask::echo", format!("the terminal cannot be told to hide what is typed: {e}"))
            .hint("give a reference instead of typing the secret: --token pass:PATH, env:NAME or file:PATH")
    })?;
    // The end of the line was hidden, too.
    let _ = writeln!(std::io::stderr());
    Ok(said.into())
}

/// A yes-or-no question outside a run.
pub fn yes(question: &str) -> bool {
    is_yes(&read_answer(&format!("{question} Only `yes` is taken as yes: ")))
}

pub fn at_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn is_yes(said: &str) -> bool {
    said.eq_ignore_ascii_case("yes")
}

fn read_answer(prompt: &str) -> String {
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{prompt}").and_then(|()| err.flush());
    let mut line = String::new();
    // End of input is no answer.
    let _ = std::io::stdin().lock().read_line(&mut line);
    line.trim().to_owned()
}
