//! Who may do what: users, roles, the access control list and API tokens.

mod acl;
mod ensure;
mod list;
mod permissions;
mod role;
mod secret;
mod token;
mod user;

pub use acl::Acl;
pub use ensure::Ensure;
pub use list::Accounts;
pub use permissions::PermissionsRead;
pub use role::Role;
pub use secret::SecretSource;
pub(in crate::actions::proxmox) use secret::{acme_key, plugin_data};
pub use token::TokenMake;
pub use user::User;
