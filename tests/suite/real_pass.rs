//! Secrets from the real `pass`.

use runbook::secrets::{Redactor, SecretError, SecretRef, Secrets};
use secrecy::ExposeSecret;

use crate::pass_store::PassStore;

#[tokio::test]
async fn a_token_comes_out_of_the_real_pass() {
    let store = PassStore::new().await;
    store.insert("lab.example/pve/api-token", "ops@pve!runbook\nurl: https://pve1\n1111-2222-3333\n").await;
    let secrets = Secrets::new(Redactor::new()).with_vars(store.vars());
    let reference = |text: &str| text.parse::<SecretRef>().unwrap();

    let pair = secrets.token(&reference("pass:lab.example/pve/api-token")).await.unwrap();
    assert_eq!((pair.id.as_str(), pair.secret.expose_secret()), ("ops@pve!runbook", "1111-2222-3333"));
    let url = secrets.resolve(&reference("pass:lab.example/pve/api-token#url")).await.unwrap();
    assert_eq!(url.expose_secret(), "https://pve1");
    let missing = secrets.resolve(&reference("pass:no/such")).await.unwrap_err();
    assert!(matches!(missing, SecretError::Failed { .. }) && missing.to_string().contains("no/such"), "{missing}");
    assert_eq!(secrets.redactor().redact("1111-2222-3333"), "(redacted)");
    store.close().await;
}
