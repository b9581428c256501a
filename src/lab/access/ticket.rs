//! Tickets and CSRF tokens: text in the server's form, signed with a key of the lab's own.

use sha2::{Digest, Sha256};

/// Tickets live two hours, and may come from a clock that is five minutes ahead.
const LIFETIME_S: i64 = 7200;
const AHEAD_S: i64 = 300;

/// Signs tickets; a new one for every lab.
#[derive(Debug)]
pub(super) struct TicketKey([u8; 32]);

impl TicketKey {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    /// `PVE:user@realm:8HEXTIME::base64`.
    pub(super) fn ticket(&self, user: &str, now_s: i64) -> String {
        let plain = format!("PVE:{user}:{now_s:08X}");
        format!("{plain}::{}", self.sign(&plain))
    }

    /// The user of a ticket that is neither forged nor too old.
    pub(super) fn verify(&self, ticket: &str, now_s: i64) -> Option<String> {
        let (plain, signature) = ticket.split_once("::")?;
        let (user, time) = plain.strip_prefix("PVE:")?.rsplit_once(':')?;
        (self.sign(plain) == signature && is_fresh(time, now_s)).then(|| user.to_owned())
    }

    /// `8HEXTIME:base64`.
    pub(super) fn csrf(&self, user: &str, now_s: i64) -> String {
        let time = format!("{now_s:08X}");
        let signature = self.sign(&format!("CSRF:{time}:{user}"));
        format!("{time}:{signature}")
    }

    pub(super) fn csrf_fits(&self, token: &str, user: &str, now_s: i64) -> bool {
        token.split_once(':').is_some_and(|(time, signature)| {
            is_fresh(time, now_s) && self.sign(&format!("CSRF:{time}:{user}")) == signature
        })
    }

    /// Base64 without padding of a keyed hash: 43 characters.
    fn sign(&self, text: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(text.as_bytes());
        hash.update(self.0);
        base64(&hash.finalize())
    }
}

fn is_fresh(hex_time: &str, now_s: i64) -> bool {
    i64::from_str_radix(hex_time, 16).is_ok_and(|then| (-AHEAD_S..LIFETIME_S).contains(&(now_s - then)))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(group >> (18 - 6 * i) & 63) as usize]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_base64() {
        assert_eq!(base64(b"Man"), "TWFu");
        assert_eq!(base64(b"Ma"), "TWE");
        assert_eq!(base64(&[0; 32]).len(), 43);
    }

    #[test]
    fn a_ticket_ends_and_cannot_be_forged() {
        let key = TicketKey::random();
        let ticket = key.ticket("root@pam", 1000);
        assert!(ticket.starts_with("PVE:root@pam:000003E8::"));
        assert_eq!(key.verify(&ticket, 8199).as_deref(), Some("root@pam"));
        assert_eq!(key.verify(&ticket, 8200), None);
        assert_eq!(key.verify(&ticket.replace("root", "toor"), 1000), None);
        assert_eq!(TicketKey::random().verify(&ticket, 1000), None);
    }

    #[test]
    fn a_csrf_token_is_of_its_user() {
        let key = TicketKey::random();
        let token = key.csrf("root@pam", 1000);
        assert!(key.csrf_fits(&token, "root@pam", 1001));
        assert!(!key.csrf_fits(&token, "ops@pve", 1001));
    }
}
