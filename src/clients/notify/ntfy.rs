//! An ntfy topic: the text as body, the rest in headers. Source: docs.ntfy.sh/publish.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};

use super::Letter;

/// ntfy makes an attachment of a longer body.
const MOST: usize = 4000;

pub fn request(request: RequestBuilder, letter: &Letter, token: Option<&SecretString>) -> RequestBuilder {
    let mut request = request
        .header("Title", header(&letter.title))
        .header("Priority", letter.priority.to_string())
        .header("Tags", tag(&letter.event))
        .body(cut(&letter.text).to_owned());
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    request
}

/// A short name of an emoji, which ntfy shows before the title.
fn tag(event: &str) -> &'static str {
    match event {
        "started" => "arrow_forward",
        "waiting" => "raised_hand",
        "succeeded" => "white_check_mark",
        "failed" => "rotating_light",
        "rolled_back" => "leftwards_arrow_with_hook",
        "cancelled" => "stop_sign",
        _ => "bell",
    }
}

/// Headers are ASCII; anything else is written as RFC 2047 says, which ntfy reads.
fn header(text: &str) -> String {
    if text.bytes().all(|b| (b' '..0x7f).contains(&b)) {
        return text.to_owned();
    }
    format!("=?UTF-8?B?{}?=", STANDARD.encode(text))
}

fn cut(text: &str) -> &str {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MOST).last();
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_ascii_on_the_wire() {
        assert_eq!(header("evacuate failed"), "evacuate failed");
        assert_eq!(header("räumen"), "=?UTF-8?B?csOkdW1lbg==?=");
        assert!(!header("a\r\nX-Injected: 1").contains('\n'));
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let text = "ü".repeat(3000);
        assert!(cut(&text).len() <= MOST && text.starts_with(cut(&text)));
    }
}
