//! An API token as operators keep it: two lines of a pass entry, or one text `user@realm!name=secret`.

use secrecy::{ExposeSecret, SecretString};

/// A Proxmox API token.
#[derive(Debug, Clone)]
pub struct TokenPair {
    /// `user@realm!tokenname`.
    pub id: String,
    pub secret: SecretString,
}

impl TokenPair {
    /// From an entry whose first line is the id and whose last line is the secret, or from one line
    /// `ID=SECRET` (with or without `PVEAPIToken=` before it). `None` when it is neither.
    pub fn from_text(text: &SecretString) -> Option<Self> {
        let text = text.expose_secret();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next()?;
        let (id, secret) = match lines.next_back() {
            Some(last) => (first, last),
            None => first.strip_prefix("PVEAPIToken=").unwrap_or(first).split_once('=')?,
        };
        let (user, name) = id.split_once('!')?;
        let fits = user.contains('@') && !name.is_empty() && !secret.is_empty() && !id.contains(char::is_whitespace);
        fits.then(|| Self { id: id.to_owned(), secret: secret.to_owned().into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(text: &str) -> Option<(String, String)> {
        let pair = TokenPair::from_text(&text.to_owned().into())?;
        Some((pair.id, pair.secret.expose_secret().to_owned()))
    }

    #[test]
    fn tokens_are_read_in_both_shapes() {
        let wanted = Some(("ops@pve!rb".to_owned(), "uuid-1".to_owned()));
        for text in [
            "ops@pve!rb\nuuid-1\n",
            "ops@pve!rb\nurl: x\n\n uuid-1 \n\n",
            "ops@pve!rb=uuid-1\n",
            "PVEAPIToken=ops@pve!rb=uuid-1",
        ] {
            assert_eq!(pair(text), wanted, "{text:?}");
        }
        for text in ["", "uuid-1", "ops@pve\nuuid-1", "ops!rb=uuid", "ops@pve!rb="] {
            assert_eq!(pair(text), None, "{text:?}");
        }
    }
}
