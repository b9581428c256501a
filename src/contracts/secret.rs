//! Calls that take or give a secret: a plan, a journal and an output would keep it in the clear.

use super::verb::Verb;

/// Names of parameters that hold one. `password` and `secret` are found within a name, too.
pub const SECRET_NAMES: [&str; 7] =
    ["eab-hmac-key", "key", "private-key", "keyring", "encryption-key", "otp", "sslkey"];

/// Whose `data` is what a DNS provider is logged in to with.
const PLUGINS: &str = "/cluster/acme/plugins";

/// Methods that answer with one.
const ANSWERS: [(Verb, &str); 5] = [
    (Verb::Get, "/cluster/acme/plugins"),
    (Verb::Get, "/cluster/acme/plugins/{id}"),
    (Verb::Post, "/access/ticket"),
    (Verb::Post, "/access/users/{userid}/token/{tokenid}"),
    (Verb::Put, "/access/users/{userid}/token/{tokenid}"),
];

/// The secret that a call of this method with these parameters takes or gives, in words.
pub fn secret_in<'a>(verb: Verb, template: &str, params: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let is_one = |name: &&str| name.contains("password") || name.contains("secret") || SECRET_NAMES.contains(name);
    let is_one = |name: &&str| is_one(name) || *name == "data" && template.starts_with(PLUGINS);
    if let Some(name) = params.into_iter().find(|name| is_one(name)) {
        return Some(format!("`{name}` is a secret"));
    }
    let console = ["/vncproxy", "/termproxy", "/spiceproxy", "/vncshell", "/spiceshell", "/mtunnel"];
    let answers = ANSWERS.contains(&(verb, template)) || console.iter().any(|end| template.ends_with(end));
    answers.then(|| format!("{verb} {template} answers with a secret"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_and_by_answer() {
        let config = "/nodes/{node}/qemu/{vmid}/config";
        assert_eq!(secret_in(Verb::Put, config, ["cipassword"]).as_deref(), Some("`cipassword` is a secret"));
        assert_eq!(secret_in(Verb::Put, config, ["cores", "sshkeys"]), None);
        assert!(secret_in(Verb::Post, "/access/ticket", []).is_some());
        assert!(secret_in(Verb::Post, "/nodes/{node}/qemu/{vmid}/vncproxy", []).is_some());
        assert!(secret_in(Verb::Post, PLUGINS, ["id", "data"]).is_some());
        assert!(secret_in(Verb::Get, "/cluster/acme/plugins/{id}", []).is_some());
        assert_eq!(secret_in(Verb::Put, "/cluster/acme/plugins/{id}", ["api"]), None);
        assert_eq!(secret_in(Verb::Get, "/access/users/{userid}/token/{tokenid}", []), None);
    }
}
