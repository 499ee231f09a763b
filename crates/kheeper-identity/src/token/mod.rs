//! What a caller signs: a JWT (RFC 7519) in its smallest form.
//!
//! One algorithm (EdDSA with Ed25519), two kinds told apart by `typ`, a fixed set of claims. A header or claim that is
//! not in the set is refused and not ignored, since it could be one that narrows the token. `docs/token-format.md` has
//! the details.

pub mod mint;
mod scope;
mod subject;
pub mod verify;
mod wire;

pub use mint::{AccessRequest, Token, mint_access, mint_registration};
pub use scope::{SCOPE_HOSTS_MAX, Scope};
pub use subject::SubjectId;
pub use verify::{AccessClaims, RegistrationClaims, TokenHead, verify_access, verify_registration};
