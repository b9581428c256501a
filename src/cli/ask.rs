//! Questions to the person at the terminal. Without a terminal a question is a refusal that names the flag.

use std::io::{BufRead, IsTerminal, Write};

use async_trait::async_trait;

use super::args::Answers;
use super::printer::Printer;
use crate::app::ports::{Answer, Approver};
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
    async fn ask(&self, _path: &StepPath, question: &Question) -> Answer {
        let who = self.who.clone();
        if let Some(word) = &question.word
            && self.answers.confirm.contains(word)
        {
            return Answer::Approved { who, word: Some(word.clone()) };
        }
        if question.word.is_none() && self.answers.yes {
            return Answer::Approved { who, word: None };
        }
        if !at_terminal() {
            let flag = question.word.as_ref().map_or("--yes".to_owned(), |word| format!("--confirm {word}"));
            let why = format!("there is no terminal to ask at; {flag} answers it");
            self.printer.note(&format!("{}\n  not confirmed: {why}", question.message));
            return Answer::Declined { who, why };
        }
        let text = report::question(question, self.printer.err_look());
        let pause = self.pause.clone();
        let said = tokio::task::spawn_blocking(move || match pause {
            Some(pause) => pause.around(|| read_answer(&text)),
            None => read_answer(&text),
        });
        let said = said.await.unwrap_or_default();
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
