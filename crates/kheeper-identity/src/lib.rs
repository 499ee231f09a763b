//! Who is calling, and how to know that the one who answers is the server: keys, contexts on disk, tokens, trust.
//!
//! What is not here: the network, and what a caller may do (`kheeper-store` knows that, from the key's own record).
//!
//! - [`key`]: Ed25519 keys, their PEM forms, their RFC 7638 thumbprints.
//! - [`origin`]: the server's address in its one canonical form, which is a token's `aud`.
//! - [`context`]: where identities live on a machine, and the modes of their files.
//! - [`token`]: what a caller signs: access tokens and registration tokens.
//! - [`join_token`]: what lets a new host enrol, once.
//! - [`server_trust`]: which certificates a client believes: the system's, a file's, or the pinned one.
//! - [`client_env`]: what backup tools need to be told to use the proxy.
//!
//! Start with [`token::verify`]; the format is described in `docs/token-format.md`.

pub mod client_env;
pub mod context;
pub mod error;
pub mod identity;
pub mod join_token;
pub mod key;
pub mod machine;
pub mod origin;
pub mod server_trust;
pub mod token;

pub use context::{ConfigDir, Context, ContextName};
pub use error::{ContextError, KeyError, ParseError, TokenError, TrustError};
pub use identity::{Identity, IdentitySubject};
pub use join_token::{JoinSecret, JoinToken};
pub use key::{PrivateKey, PublicKey};
pub use machine::MachineId;
pub use origin::Origin;
pub use server_trust::{Pin, ServerTrust};
pub use token::{Scope, SubjectId, Token};
