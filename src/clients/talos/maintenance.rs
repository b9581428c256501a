//! Machines without a configuration: they ask nobody for a certificate, and show none that anybody knows.

use std::time::Duration;

use super::{Talos, TalosError, said, stream};

const PATIENCE: Duration = Duration::from_secs(20);
/// For a configuration to be checked and written.
const GIVE: Duration = Duration::from_secs(120);

fn status() -> [&'static str; 5] {
    ["get", "machinestatus", "--insecure", "--output", "json"]
}

fn give(file: &str) -> [&str; 4] {
    ["apply-config", "--insecure", "--file", file]
}

impl Talos {
    /// Whether a machine waits for its first configuration there.
    ///
    /// # Errors
    /// It does not answer, or has a configuration.
    pub async fn is_in_maintenance(&self, node: &str) -> Result<bool, TalosError> {
        let text = self.ask(None, node, &status(), PATIENCE).await?;
        let all = stream::objects(&text).map_err(|why| TalosError::Strange {
            node: node.to_owned(),
            what: "get machinestatus --insecure".into(),
            why,
        })?;
        Ok(all.first().is_some_and(|one| one["spec"]["stage"] == "maintenance"))
    }

    /// Gives a machine its first configuration, with which it reboots.
    ///
    /// # Errors
    /// As [`Talos::is_in_maintenance`]; it is refused.
    pub async fn give_config(&self, node: &str, file: &str) -> Result<(), TalosError> {
        let output = self.call(None, node, &give(file), GIVE).await?;
        match output.exit {
            0 => Ok(()),
            _ => Err(TalosError::Said { node: node.to_owned(), said: said(&output.stderr) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::talosctl::{Contract, MINORS};

    #[test]
    fn every_version_takes_what_is_said_to_it() {
        for minor in MINORS {
            for words in [&status()[..], &give("node.yaml")] {
                let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
                let typed = Contract::of(minor).unwrap().parse(&words).unwrap();
                assert!(typed.is_on("insecure") && typed.warnings.is_empty(), "{minor} {words:?}: {typed:?}");
            }
        }
    }
}
