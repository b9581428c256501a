//! What was probably meant by a name that does not exist.

/// The name that was probably meant: near by edits, or one that begins or ends as `name` does.
pub fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let allowed = (name.chars().count() / 3).max(1) + usize::from(name.len() > 4);
    names
        .into_iter()
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= allowed && *distance < candidate.chars().count()
                || (name.len() >= 3 && (candidate.starts_with(name) || candidate.ends_with(name)))
        })
        .min_by_key(|(distance, candidate)| (*distance, *candidate))
        .map(|(_, candidate)| candidate.to_owned())
}
