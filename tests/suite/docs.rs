//! The documentation is true: its YAML is linted, its commands are taken by the program (and those of blocks marked `run`
//! are run), its links lead somewhere, and what can be generated from the code is up to date.
#![allow(clippy::disallowed_methods, reason = "a test is outside of the house: it starts the binary and reads files")]

mod commands;
mod generated;
mod links;
mod yaml;

use std::path::{Path, PathBuf};

/// A page of the documentation.
struct Page {
    path: PathBuf,
    text: String,
}

/// A fenced block: what stands behind the fence's signs, the text, and the line that it begins in.
struct Block<'p> {
    info: &'p str,
    text: String,
    line: usize,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Page {
    /// All pages that people read: those at the top and those below docs/.
    fn all() -> Vec<Page> {
        let mut paths = Vec::new();
        let mut folders = vec![root().join("docs")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { paths.push(path) }
            }
        }
        paths.extend(std::fs::read_dir(root()).unwrap().map(|e| e.unwrap().path()));
        paths.retain(|p| p.extension().is_some_and(|e| e == "md"));
        paths.sort();
        let read = |path: PathBuf| Page { text: std::fs::read_to_string(&path).unwrap(), path };
        paths.into_iter().map(read).collect()
    }

    fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap_or(&self.path).display().to_string()
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut open: Option<(Block<'_>, usize)> = None;
        for (n, line) in self.text.lines().enumerate() {
            let bare = line.trim_start();
            match &mut open {
                None if bare.starts_with("```") => {
                    let info = bare.trim_start_matches('`').trim();
                    open = Some((Block { info, text: String::new(), line: n + 1 }, line.len() - bare.len()));
                }
                None => {}
                Some(_) if bare.starts_with("```") => blocks.extend(open.take().map(|(block, _)| block)),
                Some((block, indent)) => {
                    block.text.push_str(line.get(*indent..).unwrap_or_default());
                    block.text.push('\n');
                }
            }
        }
        assert!(open.is_none(), "{}: a block without an end", self.name());
        blocks
    }
}

/// Fails with all of them at once.
fn none_of(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n\n{}", problems.len(), problems.join("\n\n"));
}
