//! Figures as people read them: GiB with one decimal, binary units.

pub(super) const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// `32.0 GiB`, rounded to the nearest tenth.
pub fn gib(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10 + u128::from(GIB) / 2) / u128::from(GIB);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// The same of MiB.
pub(super) fn gib_of_mib(mib: u64) -> String {
    gib(mib * MIB)
}

/// How much is missing: never shown as `0.0 GiB`, which would look like a fit.
pub(super) fn short_of_mib(mib: u64) -> String {
    if mib < 52 { format!("{mib} MiB") } else { gib_of_mib(mib) }
}

/// Whole MiB that hold so many bytes.
pub(super) fn mib_up(bytes: u64) -> u64 {
    bytes.div_ceil(MIB)
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list<T: ToString>(words: impl IntoIterator<Item = T>) -> String {
    let mut words: Vec<String> = words.into_iter().map(|w| w.to_string()).collect();
    match words.pop() {
        None => "none".to_owned(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} and {last}", words.join(", ")),
    }
}
