//! What `--list-hosts --list-tasks` says of a playbook.

/// A play that would be played.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Play {
    /// `play #1 (all): first`
    pub title: String,
    pub hosts: Vec<String>,
    pub tasks: Vec<String>,
}

/// The plays, as ansible-playbook lists them.
pub fn plays(text: &str) -> Vec<Play> {
    enum In {
        Neither,
        Hosts,
        Tasks,
    }
    let (mut plays, mut place): (Vec<Play>, In) = (Vec::new(), In::Neither);
    for line in text.lines() {
        let bare = line.trim();
        if line.starts_with("  play #") {
            let title = bare.split('\t').next().unwrap_or_default().trim().to_owned();
            plays.push(Play { title, ..Play::default() });
            place = In::Neither;
        } else if line.starts_with("    hosts (") {
            place = In::Hosts;
        } else if line.starts_with("    tasks:") {
            place = In::Tasks;
        } else if line.starts_with("      ") && !bare.is_empty() {
            let Some(play) = plays.last_mut() else { continue };
            match place {
                In::Hosts => play.hosts.push(bare.to_owned()),
                // `NAME\tTAGS: [a, b]`
                In::Tasks => play.tasks.push(bare.split('\t').next().unwrap_or_default().trim().to_owned()),
                In::Neither => {}
            }
        }
    }
    plays
}

/// All hosts, each once, in the order of the plays.
pub fn hosts(plays: &[Play]) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    for host in plays.iter().flat_map(|play| &play.hosts) {
        if !all.contains(&host.as_str()) {
            all.push(host);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plays_hosts_and_tasks_are_told_apart() {
        let text = "\nplaybook: site.yml\n\n  play #1 (all): first\tTAGS: []\n    pattern: ['all']\n    hosts (2):\n      h2\n      h1\n    tasks:\n      say\tTAGS: []\n      role : touch it\tTAGS: [t1]\n\n  play #2 (h1): h1\tTAGS: []\n    pattern: ['h1']\n    hosts (1):\n      h1\n    tasks:\n";
        let found = plays(text);
        assert_eq!(found[0].title, "play #1 (all): first");
        assert_eq!(found[0].tasks, ["say", "role : touch it"]);
        assert_eq!((found.len(), found[1].tasks.len()), (2, 0));
        assert_eq!(hosts(&found), ["h2", "h1"]);
        assert!(plays("\nplaybook: site.yml\n").is_empty());
    }
}
