//! `runbook init`: asks, shows, and writes a site's configuration.

use crate::app::init::{self, Found, Maker, Place, Token, Wish, Written};
use crate::app::{AppError, Exit};
use crate::cli::args::Init;
use crate::cli::{Face, ask};
use crate::model::ids::Fingerprint;
use crate::report::FORMAT_VERSION;

pub async fn run(face: &Face, args: &Init) -> Result<Exit, AppError> {
    let place = Place::parse(&args.host)?;
    let pinned = believed(face, args, init::certificate(&place).await?)?;
    let path = init::file(&face.settings);
    let (token, typed) = token(face, args, &path, &place, pinned).await?;
    let found = init::discover(&place, pinned, &token, &face.redactor).await?;
    let name = args.name.clone().or_else(|| found.cluster.clone()).unwrap_or_else(|| place.host.clone());
    let written = init::composed(&path, &name, &found, &token)?;
    let known = path.is_file();
    if !written.added.is_empty() {
        if !face.is_json() {
            let how = if known { format!("completed with {}", written.added.join(", ")) } else { "new".into() };
            face.printer.note(&format!("{} ({how}):\n\n{}", path.display(), written.text));
        }
        let yes = args.yes || ask::at_terminal() && ask::yes("Write it?");
        if !yes {
            return Err(AppError::new(Exit::Gate, "init::unconfirmed", "nobody has said yes: nothing was written")
                .hint("look at it, then add --yes"));
        }
        if typed {
            init::keep(&token)?;
        }
        init::write(&path, &written)?;
    }
    tell(face, &path.display().to_string(), pinned, &found, &written);
    Ok(Exit::Done)
}

/// Whose certificate it is, by the fingerprint that was given or the person at the terminal.
fn believed(face: &Face, args: &Init, shown: Fingerprint) -> Result<Fingerprint, AppError> {
    match args.fingerprint {
        Some(given) if given == shown => return Ok(shown),
        Some(given) => {
            let message = format!("{} shows another certificate than the one that was given", args.host);
            return Err(AppError::new(Exit::Gate, "init::fingerprint", message)
                .details(vec![format!("given: {given}"), format!("shown: {shown}")])
                .hint("somebody may stand between: compare it at the node's own console: pvenode cert info"));
        }
        None => {}
    }
    face.printer.note(&format!(
        "{} shows a certificate with the SHA-256 fingerprint\n  {shown}\nCompare it at the node's own console: pvenode \
         cert info",
        args.host
    ));
    if ask::at_terminal() && ask::yes("Is it this node's?") {
        return Ok(shown);
    }
    Err(AppError::new(Exit::Gate, "init::fingerprint", "nobody has said whose certificate this is: nothing was sent")
        .hint(format!("if it is the node's own, say so: --fingerprint {shown}")))
}

/// The token, and whether it was typed.
async fn token(
    face: &Face,
    args: &Init,
    path: &std::path::Path,
    place: &Place,
    pinned: Fingerprint,
) -> Result<(Token, bool), AppError> {
    let given = args.token.clone().map_or_else(|| init::reference_in(path), |token| Ok(Some(token)))?;
    if let Some(reference) = given {
        return Ok((init::token(&reference, &face.redactor).await?, false));
    }
    if !ask::at_terminal() {
        return Err(AppError::new(Exit::Gate, "init::token", "there is no token, and no terminal to ask at")
            .hint("name one: --token pass:PATH, env:NAME or file:PATH; at a terminal one is asked for, or made"));
    }
    let id = ask::typed("Token id (USER@REALM!NAME; nothing, and one is made): ");
    if id.is_empty() {
        return Ok((made(face, args, place, pinned).await?, false));
    }
    let secret = ask::hidden("Its secret (not shown): ")?;
    Ok((init::typed(&face.settings, &id, secret, &face.redactor)?, true))
}

/// Logs in for this once and makes a token; what the login may not do is said as commands.
async fn made(face: &Face, args: &Init, place: &Place, pinned: Fingerprint) -> Result<Token, AppError> {
    let user = or("Log in for this once as USER@REALM", "root@pam");
    let password = ask::hidden("Password (not shown, not kept): ")?;
    let maker = Maker::log_in(place, pinned, &user, password, &face.redactor).await?;
    let id = or("The token to make", "runbook@pve!runbook");
    let purpose = or(&format!("What for: {}", init::PURPOSES.join(", ")), "operate");
    let reference = or("Keep it in pass:PATH or file:PATH", &init::own_file(&face.settings, &id)?);
    let wish = Wish::new(&id, &purpose, &reference, &face.redactor).await?;
    let lines: String = maker.says(&wish)?.iter().map(|line| format!("\n  {line}")).collect();
    face.printer.note(&format!("To be made on the site:{lines}"));
    if !ask::yes("Make it?") {
        return Err(AppError::new(Exit::Gate, "init::unconfirmed", "nobody has said yes: nothing was made"));
    }
    let made = maker.make(&wish).await?;
    if made.missing.is_empty() {
        face.printer.note(&format!("{id} is made; its id and secret are in {reference}."));
        return Ok(made.token);
    }
    let message = format!("{id} is made and kept in {reference}, but {user} may not give it its rights");
    Err(AppError::new(Exit::Gate, "init::rights", message)
        .details(made.missing)
        .hint(format!("have these run on a node, as root; then: runbook init {} --token {reference}", args.host)))
}

/// What is typed, or, of nothing, what stands in brackets.
fn or(question: &str, usual: &str) -> String {
    let said = ask::typed(&format!("{question} [{usual}]: "));
    if said.is_empty() { usual.to_owned() } else { said }
}

fn tell(face: &Face, path: &str, pinned: Fingerprint, found: &Found, written: &Written) {
    let nodes: Vec<&str> = found.nodes.iter().map(|node| node.name.as_str()).collect();
    let value = serde_json::json!({
        "format_version": FORMAT_VERSION, "file": path, "fingerprint": pinned, "version": found.version,
        "nodes": nodes, "added": written.added, "notes": written.notes,
    });
    if face.printer.json(&value) {
        return;
    }
    written.notes.iter().for_each(|note| face.printer.note(&format!("note: {note}")));
    let what = if written.added.is_empty() { "has all of it already" } else { "is written" };
    face.printer.data(&format!("{path} {what}: {} of Proxmox VE {}", nodes.join(", "), found.version));
    face.printer.note("Next: runbook doctor");
}
