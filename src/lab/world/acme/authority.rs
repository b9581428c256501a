//! Certificate authorities that speak ACME, as far as a client of Proxmox VE sees them.

pub(super) const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";
pub(super) const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// Seconds that a certificate is good for.
pub(super) const LIFETIME: i64 = 90 * 86_400;

fn host(directory: &str) -> &str {
    directory.split("://").nth(1).and_then(|rest| rest.split(['/', ':']).next()).unwrap_or(directory)
}

fn is_lets_encrypt(directory: &str) -> bool {
    host(directory).ends_with("letsencrypt.org")
}

/// Let's Encrypt keeps none since 2025, and its answers have none (boulder #8198, #8247).
pub(super) fn keeps_contacts(directory: &str) -> bool {
    !is_lets_encrypt(directory)
}

/// The address of what one has to agree to.
pub(super) fn terms(directory: &str) -> String {
    match is_lets_encrypt(directory) {
        true => "https://letsencrypt.org/documents/LE-SA-v1.6-August-18-2025.pdf".to_owned(),
        false => format!("https://{}/terms", host(directory)),
    }
}

pub(super) fn website(directory: &str) -> String {
    format!("https://{}", if is_lets_encrypt(directory) { "letsencrypt.org" } else { host(directory) })
}

/// As openssl writes a name on one line.
pub(super) fn issuer(directory: &str) -> String {
    match directory {
        PRODUCTION => "/C=US/O=Let's Encrypt/CN=R13".to_owned(),
        STAGING => "/C=US/O=(STAGING) Let's Encrypt/CN=(STAGING) Riddling Rhubarb R12".to_owned(),
        other => format!("/O={}/CN=ACME intermediate", host(other)),
    }
}

pub(super) fn url(directory: &str, what: &str, number: u64) -> String {
    format!("https://{}/acme/{what}/{number}", host(directory))
}
