//! An incoming webhook as Slack, Mattermost and Rocket.Chat take it: `{"text": …}`.
//! Source: api.slack.com/messaging/webhooks, and "Escaping text" there.

use reqwest::RequestBuilder;

use super::Letter;

/// Slack cuts a text at 40,000 signs.
const MOST: usize = 30_000;

pub fn request(request: RequestBuilder, letter: &Letter) -> RequestBuilder {
    request.json(&serde_json::json!({ "text": text(letter) }))
}

fn text(letter: &Letter) -> String {
    let body: String = escaped(&letter.text).chars().take(MOST).collect();
    // Commands and logs keep their spacing; a fence inside would end it.
    format!("*{}*\n```\n{}\n```", escaped(&letter.title).replace('*', "·"), body.replace("```", "'''").trim_end())
}

/// The three signs that mean something to Slack: without this `<!channel>` in a guest's name would call everybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_calls_nobody() {
        let letter = Letter {
            id: "x-1".into(),
            event: "failed".into(),
            title: "<!channel> *boo*".into(),
            text: "a & b ``` <@U1>".into(),
            priority: 3,
            json: serde_json::Value::Null,
        };
        assert_eq!(text(&letter), "*&lt;!channel&gt; ·boo·*\n```\na &amp; b ''' &lt;@U1&gt;\n```");
    }
}
