//! Images on storages: fetched from elsewhere, taken away. What an address gives is made from the address itself.

use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use std::fmt::Write as _;

use serde_json::json;

use super::{Work, forked};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::World;
use crate::lab::world::config;
use crate::lab::world::jobs::Next;
use crate::lab::world::task::TaskKey;
use crate::model::ids::{NodeName, StorageId};

/// Bytes a second from elsewhere.
const NET_RATE: u64 = 112 << 20;

/// A file on its way.
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Download {
    node: NodeName,
    storage: StorageId,
    /// `iso/x.iso`
    path: String,
    url: String,
    /// Algorithm and what is expected.
    checksum: Option<(String, String)>,
}

/// A file that was sent to a node, and is copied to where it belongs.
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Copy {
    node: NodeName,
    storage: StorageId,
    path: String,
    size: u64,
    from: String,
    /// What is expected, and what it is.
    checksum: Option<(String, String)>,
}

/// A file that is to go.
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Remove {
    node: NodeName,
    storage: StorageId,
    path: String,
}

/// Bytes of what is at an address: some hundred MiB, the same each time.
fn size_of(url: &str) -> u64 {
    let hash = Sha256::digest(url.as_bytes());
    (256 + u64::from(hash[0])) << 20
}

fn missing(url: &str) -> bool {
    url.contains("/missing/")
}

/// The checksum of what is at an address; that of the older algorithms is not known.
fn checksum_of(url: &str, algorithm: &str) -> Option<String> {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    match algorithm {
        "sha224" => Some(hex(&Sha224::digest(url))),
        "sha256" => Some(hex(&Sha256::digest(url))),
        "sha384" => Some(hex(&Sha384::digest(url))),
        "sha512" => Some(hex(&Sha512::digest(url))),
        _ => None,
    }
}

fn storage_of<'a>(world: &'a World, call: &Call, node: &NodeName) -> Result<(StorageId, &'a str), PveError> {
    let id = call.path.get("storage").map(String::as_str).unwrap_or_default();
    let none = || PveError::die(format!("storage '{id}' does not exist"));
    let (id, storage) = world.storages.get_key_value(id).ok_or_else(none)?;
    if !storage.on(node.as_str()) {
        return Err(PveError::die(format!("storage '{id}' is not available on node '{node}'")));
    }
    Ok((id.clone(), &storage.spec.plugin))
}

fn right_name(content: &str, file: &str) -> Result<(), PveError> {
    let ends = |words: &[&str]| words.iter().any(|word| file.ends_with(word));
    let ok = match content {
        "iso" => ends(&[".iso", ".img"]),
        "vztmpl" => ends(&[".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"]),
        _ => ends(&[".ova", ".qcow2", ".raw", ".vmdk"]),
    };
    let text = if content == "import" { "invalid filename or wrong extension" } else { "wrong file extension" };
    if ok { Ok(()) } else { Err(PveError::parameter("filename", text)) }
}

pub(in crate::lab::world) fn download(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (node, _) = world.node_of(call)?;
    let (storage, plugin) = storage_of(world, call, &node)?;
    if !matches!(plugin, "dir" | "nfs" | "cifs" | "cephfs" | "btrfs") {
        return Err(PveError::die(format!("can't upload to storage type '{plugin}', not a file based storage!")));
    }
    let param = |name: &str| call.params.get(name).cloned().unwrap_or_default();
    let (content, file, url) = (param("content"), param("filename"), param("url"));
    right_name(&content, &file)?;
    if !world.storages.get(storage.as_str()).is_some_and(|storage| storage.has_content(&content)) {
        return Err(PveError::die(format!("storage '{storage}' is not configured for content-type '{content}'")));
    }
    let checksum = call.params.get("checksum").map(|sum| (param("checksum-algorithm"), sum.to_lowercase()));
    let id = file.clone();
    let work = Download { node: node.clone(), storage, path: format!("{content}/{file}"), url, checksum };
    Ok(forked(world, call, &node, "download", id, Work::Download(work)))
}

pub(super) fn download_step(world: &mut World, key: TaskKey, job: &mut Download, first: bool) -> Next {
    let size = size_of(&job.url);
    let (path, expected) = (&job.path, &job.checksum);
    let file = path.split_once('/').map_or(path.as_str(), |(_, file)| file).to_owned();
    let got = expected.as_ref().and_then(|(algorithm, _)| checksum_of(&job.url, algorithm));
    let wrong = expected.as_ref().zip(got).filter(|((_, expected), got)| expected != got);
    let wrong = wrong.map(|((_, expected), got)| format!("checksum mismatch: got '{got}' != expect '{expected}'"));
    let Some(storage) = world.storages.get_mut(&job.storage) else {
        return Next::Done(Err(format!("storage '{}' does not exist", job.storage)));
    };
    if first {
        if storage.files_on(&job.node).contains_key(path) {
            return Next::Done(match (expected, wrong) {
                (None, _) => Err(format!("refusing to override existing file '{file}'")),
                (Some(_), Some(wrong)) => Err(format!("{wrong}, aborting")),
                (Some(_), None) => {
                    world.say(key, "OK, got correct file already, no need to download");
                    Ok(())
                }
            });
        }
        if missing(&job.url) {
            return Next::Done(Err("download failed: exit code 8".into()));
        }
        let line = format!("downloading {} to {path}", job.url);
        world.say(key, line);
        return Next::In(500 + size * 1000 / NET_RATE);
    }
    if let Some(wrong) = wrong {
        return Next::Done(Err(wrong));
    }
    storage.add_file(&job.node, path, size);
    Next::Done(Ok(()))
}

/// The node that takes the file copies it, to another node if need be: its name of the same is written over.
///
/// Source: PVE::API2::Storage::Status `upload`.
pub(in crate::lab::world) fn upload(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (node, _) = world.node_of(call)?;
    let (storage, plugin) = storage_of(world, call, &node)?;
    if !matches!(plugin, "dir" | "nfs" | "cifs" | "cephfs" | "btrfs") {
        return Err(PveError::die(format!("can't upload to storage type '{plugin}'")));
    }
    let param = |name: &str| call.params.get(name).cloned().unwrap_or_default();
    let (content, from) = (param("content"), param("tmpfilename"));
    let Some(file) = call.upload.as_ref().filter(|_| !from.is_empty()) else {
        return Err(PveError::die("missing temporary file name"));
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.+".contains(c) { c } else { '_' };
    let name: String = param("filename").chars().map(plain).collect();
    right_name(&content, &name)?;
    if !world.storages.get(storage.as_str()).is_some_and(|storage| storage.has_content(&content)) {
        return Err(PveError::die(format!("storage '{storage}' does not support '{content}' content")));
    }
    let algorithm = param("checksum-algorithm");
    let checksum = match call.params.get("checksum").map(|sum| sum.to_lowercase()) {
        Some(wanted) => match file.sums.get(algorithm.as_str()).cloned() {
            Some(got) => Some((wanted, got)),
            None => return Err(PveError::die(format!("the lab computes no {algorithm}"))),
        },
        None => None,
    };
    let work = Copy { node, storage, path: format!("{content}/{name}"), size: file.size, from, checksum };
    let via = call.via.clone();
    Ok(forked(world, call, &via, "imgcopy", String::new(), Work::Copy(work)))
}

pub(super) fn copy_step(world: &mut World, key: TaskKey, job: &mut Copy, first: bool) -> Next {
    if first {
        world.say(key, format!("starting file import from: {}", job.from));
        if let Some((wanted, got)) = job.checksum.as_ref().filter(|(wanted, got)| got != wanted) {
            world.say(key, "calculating checksum...");
            return Next::Done(Err(format!("checksum mismatch: got '{got}' != expect '{wanted}'")));
        }
        if job.checksum.is_some() {
            world.say(key, "calculating checksum...OK, checksum verified");
        }
        world.say(key, format!("target node: {}", job.node));
        world.say(key, format!("file size is: {}", job.size));
        // It is copied to its name: half of it shows.
        if let Some(storage) = world.storages.get_mut(&job.storage) {
            storage.add_file(&job.node, &job.path, job.size / 2);
        }
        return Next::In(500 + job.size * 1000 / super::COPY_RATE);
    }
    let Some(storage) = world.storages.get_mut(&job.storage) else {
        return Next::Done(Err(format!("storage '{}' does not exist", job.storage)));
    };
    storage.add_file(&job.node, &job.path, job.size);
    world.say(key, "finished file import successfully");
    Next::Done(Ok(()))
}

/// What is at an address, without fetching it.
pub(in crate::lab::world) fn metadata(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    world.node_of(call)?;
    let url = call.params.get("url").map(String::as_str).unwrap_or_default();
    if missing(url) {
        return Err(PveError::die("invalid server response: '404 Not Found'"));
    }
    let file = url.rsplit('/').next().unwrap_or_default();
    Ok(Reply::read(json!({"filename": file, "mimetype": "application/octet-stream", "size": size_of(url)})))
}

pub(in crate::lab::world) fn remove(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (node, _) = world.node_of(call)?;
    let (storage, _) = storage_of(world, call, &node)?;
    let volume = call.path.get("volume").map(String::as_str).unwrap_or_default();
    let path = volume.split_once(':').map_or(volume, |(_, path)| path).to_owned();
    if !call.privileges.may(&format!("/storage/{storage}"), "Datastore.Allocate") {
        return Err(PveError::status(403, format!("Permission check failed (/storage/{storage}, Datastore.Allocate)")));
    }
    let id = config::owner_of(&path).map_or_else(|| storage.to_string(), |vmid| format!("{vmid}@{storage}"));
    let work = Work::Remove(Remove { node: node.clone(), storage, path });
    Ok(forked(world, call, &node, "imgdel", id, work))
}

pub(super) fn remove_step(world: &mut World, job: &Remove, first: bool) -> Next {
    if first {
        return Next::In(300);
    }
    let volid = format!("{}:{}", job.storage, job.path);
    if world.volumes().any(|volume| volume.volid.starts_with(&format!("{volid}/"))) {
        let base = job.path.as_str();
        return Next::Done(Err(format!("base volume '{base}' is still in use by linked clones")));
    }
    // The server frees what a guest names, too: it does not ask.
    let named = world.volumes().any(|volume| volume.volid == volid);
    if let Some(storage) = world.storages.get_mut(&job.storage).filter(|_| named) {
        storage.free(&job.node, &job.path);
        return Next::Done(Ok(()));
    }
    let there = world.storages.get_mut(&job.storage).is_some_and(|storage| storage.take_file(&job.node, &job.path));
    let none = || format!("unlink '{}' failed: No such file or directory", job.path);
    Next::Done(if there { Ok(()) } else { Err(none()) })
}
