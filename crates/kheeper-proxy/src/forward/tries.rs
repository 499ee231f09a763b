//! When a request is sent again, and when it is not.

/// How often a request was sent, and why.
///
/// Twice at the most for each of two reasons: a connection that had been closed while it waited, and a token that the
/// server no longer took. Nothing else is ever retried here: clients have their own patience.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    replayed: bool,
    reminted: bool,
}

impl Tries {
    /// Whether a waiting connection may be used: not after one has failed.
    pub(crate) fn reuse(&self) -> crate::upstream::Reuse {
        if self.replayed { crate::upstream::Reuse::Never } else { crate::upstream::Reuse::Allowed }
    }

    /// Asks to send again after the connection broke before an answer. Only where the connection had been used before,
    /// or the request only reads; and no byte of the client's body may be lost with the first try.
    pub(crate) fn replay(&mut self, connection_reused: bool, only_reads: bool) -> bool {
        let again = !self.replayed && (connection_reused || only_reads);
        self.replayed |= again;
        again
    }

    /// Asks to send again with a new token.
    pub(crate) fn remint(&mut self) -> bool {
        !std::mem::replace(&mut self.reminted, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Reuse;

    #[test]
    fn a_write_is_replayed_once_and_only_after_a_stale_connection() {
        let mut tries = Tries::default();
        assert_eq!(tries.reuse(), Reuse::Allowed);
        assert!(!tries.replay(false, false), "a new connection that breaks may have delivered the request");
        assert!(tries.replay(true, false));
        assert_eq!(tries.reuse(), Reuse::Never);
        assert!(!tries.replay(true, true));
    }

    #[test]
    fn a_read_is_replayed_once_whatever_the_connection_and_a_token_replaced_once() {
        let mut tries = Tries::default();
        assert!(tries.replay(false, true));
        assert!(!tries.replay(false, true));
        assert!(tries.remint());
        assert!(!tries.remint());
    }
}
