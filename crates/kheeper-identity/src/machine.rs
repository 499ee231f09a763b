//! Which machine this is, so that a cloned one does not write into its original's backups.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::key::sha256;

/// A machine's id: a digest of `/etc/machine-id`, which must not be published itself (`machine-id(5)`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MachineId(String);

impl MachineId {
    /// This machine's, or none where `/etc/machine-id` is missing or not yet written (`uninitialized`).
    pub fn of_this_machine() -> Option<Self> {
        let text = fs::read_to_string("/etc/machine-id").ok()?;
        Self::from_machine_id_file(&text)
    }

    fn from_machine_id_file(text: &str) -> Option<Self> {
        let id = text.trim();
        let well_formed = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
        well_formed.then(|| Self(hex::encode(&sha256(format!("kheeper machine id 1\n{id}").as_bytes())[..16])))
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_is_stable_and_does_not_show_the_file() {
        let raw = "0123456789abcdef0123456789abcdef";
        let id = MachineId::from_machine_id_file(&format!("{raw}\n")).unwrap();
        assert_eq!(Some(&id), MachineId::from_machine_id_file(raw).as_ref());
        assert!(!id.to_string().contains("01234567"));
    }

    #[test]
    fn a_machine_without_an_id_has_none() {
        assert_eq!(MachineId::from_machine_id_file("uninitialized\n"), None);
        assert_eq!(MachineId::from_machine_id_file(""), None);
    }
}
