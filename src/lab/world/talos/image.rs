//! Installer images: what is behind a reference, and what the installer says of the host it is to run on.

use super::Machine;
use crate::contracts::talos::support;
use crate::model::talos::Version;

/// What a boot slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lab) struct Image {
    /// Without a `v`.
    pub version: String,
    /// Nothing: an image that was not made from one.
    pub schematic: String,
    /// Name and version.
    pub extensions: Vec<(String, String)>,
}

/// Schematic without anything: what factory.talos.dev gives for it.
pub(super) const BARE: &str = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";
/// With only the guest agent.
const AGENT: &str = "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515";
/// The last minor version that the plain installer is published for.
const LAST_PLAIN: (u32, u32) = (1, 13);

impl Image {
    /// What the machines of a scenario run.
    pub fn first() -> Self {
        Self { version: "1.11.2".into(), schematic: AGENT.into(), extensions: extensions(AGENT).unwrap_or_default() }
    }

    /// What is behind a reference.
    ///
    /// # Errors
    /// A registry has no such image.
    pub fn behind(reference: &str) -> Result<Self, String> {
        let gone = || format!("failed to resolve reference {reference:?}: {reference}: not found");
        let (repository, tag) = reference.rsplit_once(':').ok_or_else(gone)?;
        let version: Version = tag.strip_prefix('v').and_then(|text| text.parse().ok()).ok_or_else(gone)?;
        let known = support().iter().find(|one| one.talos == version.minor());
        let newest = known.and_then(|one| one.newest.as_ref()).ok_or_else(gone)?;
        if version > *newest {
            return Err(gone());
        }
        let (schematic, extensions) = match repository.split('/').collect::<Vec<_>>()[..] {
            ["ghcr.io", "siderolabs", "installer"] => {
                let minor = version.minor();
                if (minor.0, minor.1) > LAST_PLAIN {
                    return Err(gone());
                }
                ("", Vec::new())
            }
            ["factory.talos.dev", installer, schematic] if is_installer(installer) => {
                (schematic, extensions(schematic).ok_or_else(gone)?)
            }
            _ => return Err(gone()),
        };
        Ok(Self { version: version.to_string(), schematic: schematic.to_owned(), extensions })
    }

    /// The same without what its schematic adds.
    pub(super) fn bare(self) -> Self {
        Self { schematic: BARE.into(), extensions: Vec::new(), ..self }
    }
}

fn is_installer(word: &str) -> bool {
    let word = word.strip_suffix("-secureboot").unwrap_or(word);
    matches!(word, "installer" | "metal-installer" | "nocloud-installer")
}

/// What a schematic adds; none: the factory does not know it.
fn extensions(schematic: &str) -> Option<Vec<(String, String)>> {
    match schematic {
        BARE => Some(Vec::new()),
        AGENT => Some(vec![("qemu-guest-agent".into(), "10.0.2".into())]),
        _ => None,
    }
}

/// Why the installer of an image does not run on a machine; none where it does.
pub(in crate::lab) fn refuses(image: &Image, machine: &Machine) -> Option<String> {
    let (target, host): (Version, Version) = (image.version.parse().ok()?, machine.version.parse().ok()?);
    let known = support().iter().find(|one| one.talos == target.minor())?;
    if host < known.from {
        return Some(format!("host version {host} is too old to upgrade to Talos {target}"));
    }
    if host.minor() >= target.minor().next().next() {
        return Some(format!("host version {host} is too new to downgrade to Talos {target}"));
    }
    let kubernetes: Version = machine.kubernetes.parse().ok()?;
    if kubernetes.minor() < known.k8s_min {
        return Some(format!("version of Kubernetes {kubernetes} is too old to be used with Talos {target}"));
    }
    (kubernetes.minor() > known.k8s_max)
        .then(|| format!("version of Kubernetes {kubernetes} is too new to be used with Talos {target}"))
}
