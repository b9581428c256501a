//! The configuration: where it is found, and what it says once it was read and checked. Nothing is contacted here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::{AppError, Exit};
use super::needs::needs_site;
use super::settings::Settings;
use crate::load::diagnostic::Source;
use crate::load::{check_profiles, load_cluster, load_site, scope_of};
use crate::model::cluster::Cluster;
use crate::model::runbook::Runbook;
use crate::model::site::Site;
use crate::sys::files;

const FILE: &str = "cluster-config.yaml";

/// The configuration, read and checked; nothing has been contacted.
#[derive(Debug, Clone)]
pub struct Config {
    pub path: PathBuf,
    /// Whether it was found by walking up from the current folder, and not named.
    pub found: bool,
    pub site: Site,
    pub clusters: Vec<Cluster>,
    /// SHA-256 over the site's file and all cluster files.
    pub digest: String,
}

impl Config {
    /// The folder that `runbooks/` and `clusters/` lie in.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Finds and reads it.
    ///
    /// # Errors
    /// There is none, it may not be trusted, or it has problems: all of them.
    pub fn load(settings: &Settings) -> Result<Self, AppError> {
        let (path, found) = find(settings)?;
        let source = read(&path)?;
        let profiles = yaml_files(&path.parent().unwrap_or(Path::new(".")).join("clusters"));
        let profiles = profiles.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
        Self::of(path, found, &source, profiles)
    }

    /// Reads the site's text and those of the cluster profiles.
    ///
    /// # Errors
    /// They have problems: all of them.
    pub(in crate::app) fn of(
        path: PathBuf,
        found: bool,
        source: &Source,
        profiles: Vec<Source>,
    ) -> Result<Self, AppError> {
        let site = load_site(source)
            .map_err(|found| AppError::invalid(Exit::Configuration, "config::invalid", source, found))?;
        let mut digest = Sha256::new();
        digest.update(source.text.as_bytes());
        let clusters = clusters(profiles, &mut digest)?;
        let clashes = check_profiles(&site, &clusters.iter().map(|(_, c)| c.clone()).collect::<Vec<_>>());
        if !clashes.is_empty() {
            let count = clashes.len();
            let mut error = AppError::new(
                Exit::Configuration,
                "config::clash",
                format!("the cluster profiles clash in {count} ways"),
            );
            let of = |file: &str| {
                clusters.iter().map(|(s, _)| s).find(|s| Path::new(&s.name).ends_with(file)).unwrap_or(source).clone()
            };
            error.diagnostics = clashes.into_iter().map(|d| (of(&d.file), d)).collect();
            return Err(error);
        }
        let digest = digest.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self { path, found, site, clusters: clusters.into_iter().map(|(_, c)| c).collect(), digest })
    }

    /// Whether there is none, and [`Config::load_or_local`] has stood in for it.
    pub(in crate::app) fn is_absent(&self) -> bool {
        self.digest.is_empty()
    }

    /// The same; where there is none, a site of no nodes that is called `local`.
    ///
    /// # Errors
    /// There is one, and it may not be trusted or has problems.
    pub fn load_or_local(settings: &Settings) -> Result<Self, AppError> {
        match Self::load(settings) {
            Err(error) if error.code == "config::missing" => {
                let path = settings.cwd.join(FILE);
                Ok(Self { path, found: false, site: Site::local(), clusters: Vec::new(), digest: String::new() })
            }
            loaded => loaded,
        }
    }

    /// What this runbook is for: the configured site, or this machine alone where that is all that it acts on.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_for(settings: &Settings, runbook: &Runbook) -> Result<Self, AppError> {
        if needs_site(runbook) { Self::load(settings) } else { Self::load_or_local(settings) }
    }

    /// The profile of that name.
    ///
    /// # Errors
    /// There is none; those that there are.
    pub fn cluster(&self, name: &str) -> Result<&Cluster, AppError> {
        self.clusters.iter().find(|c| c.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.clusters.iter().map(|c| c.name.as_str()).collect();
            AppError::new(
                Exit::NotFound,
                "config::unknown_cluster",
                format!("no cluster {name:?} in {}", self.folder().join("clusters").display()),
            )
            .hint(format!("known: {}", if known.is_empty() { "none".into() } else { known.join(", ") }))
        })
    }

    /// `config` and `cluster` as expressions see them; `cluster.file` is the profile's file, `cluster.folder` the one it is in.
    pub fn scope(&self, cluster: Option<&Cluster>) -> BTreeMap<String, Value> {
        let mut scope = scope_of(&self.site, cluster);
        if let (Some(cluster), Some(Value::Object(profile))) = (cluster, scope.get_mut("cluster")) {
            let folder = self.folder().join("clusters");
            profile.insert("file".into(), folder.join(format!("{}.yaml", cluster.name)).display().to_string().into());
            profile.insert("folder".into(), folder.display().to_string().into());
        }
        scope
    }
}

/// The file, and whether it was found by walking up.
fn find(settings: &Settings) -> Result<(PathBuf, bool), AppError> {
    if let Some(path) = &settings.config {
        return Ok((path.clone(), false));
    }
    for folder in settings.cwd.ancestors() {
        let path = folder.join(FILE);
        if path.is_file() {
            // Found by walking up: it could be anybody's.
            files::check_trusted(&path).map_err(|error| {
                AppError::new(Exit::Configuration, "config::untrusted", error.to_string())
                    .hint(format!("if you mean this file, say so: --config {}", path.display()))
            })?;
            return Ok((path, true));
        }
    }
    if let Some(path) = settings.config_home.as_ref().map(|home| home.join("runbook").join(FILE))
        && path.is_file()
    {
        return Ok((path, false));
    }
    let message = format!("no {FILE} in {} or any folder above it", settings.cwd.display());
    Err(AppError::new(Exit::Configuration, "config::missing", message).hint(
        "name one with --config or RUNBOOK_CONFIG, or try the simulated site: `runbook --lab plan evacuate pve2`",
    ))
}

/// Reads a file as a source named by its path.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<Source, AppError> {
    let text =
        files::read_text(path).map_err(|e| AppError::new(Exit::Configuration, "config::unreadable", e.to_string()))?;
    Ok(Source::new(path.display().to_string(), text))
}

fn clusters(profiles: Vec<Source>, digest: &mut Sha256) -> Result<Vec<(Source, Cluster)>, AppError> {
    let mut found = Vec::new();
    for source in profiles {
        digest.update(source.text.as_bytes());
        let cluster = load_cluster(&source)
            .map_err(|problems| AppError::invalid(Exit::Configuration, "config::invalid", &source, problems))?;
        found.push((source, cluster));
    }
    Ok(found)
}

/// The YAML files of a folder, sorted; none where there is no such folder.
pub fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<PathBuf> =
        paths.filter(|p| p.extension().is_some_and(|e| e == "yaml" || e == "yml") && p.is_file()).collect();
    paths.sort();
    paths
}
