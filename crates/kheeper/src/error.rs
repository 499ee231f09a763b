//! What can go wrong between the command line and the server, told apart by what the person can do about it.

use kheeper_identity::Origin;
use kheeper_model::api::Problem;
use kheeper_model::limits::CLOCK_SKEW_SECS_MAX;

use crate::exit_code::ExitCode;

/// A failure of the command line's own, with its class.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// Its class.
    pub(crate) code: ExitCode,
    /// What happened, and what to do.
    pub(crate) message: String,
}

impl Failure {
    /// A failure of this class.
    pub(crate) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A wrong command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }
}

/// Why a call of the control API failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// No connection came about.
    #[error("cannot reach {origin}: {why}; is kheeper-server running there, and does nothing block the way?")]
    Unreachable {
        /// The server.
        origin: Origin,
        /// Why.
        why: String,
    },
    /// The certificate is not believed.
    #[error(
        "the certificate of {origin} is not trusted: {why}; if the server made its own, its pin goes with join tokens and with `auth login --pin`; else name its authority with --ca-file"
    )]
    CertificateNotTrusted {
        /// The server.
        origin: Origin,
        /// Why.
        why: String,
    },
    /// TLS failed in another way.
    #[error("{origin} does not speak TLS as expected: {why}; is the address right, and its https://?")]
    Tls {
        /// The server.
        origin: Origin,
        /// Why.
        why: String,
    },
    /// The connection broke, or the answer took too long.
    #[error(
        "{origin} did not answer: {why}{}",
        if *.changes { "; what was asked may have happened or not: look before you repeat it" } else { "" }
    )]
    NoAnswer {
        /// The server.
        origin: Origin,
        /// Why.
        why: String,
        /// Whether the call would have changed something.
        changes: bool,
    },
    /// An answer that no kheeper server gives.
    #[error(
        "{origin} answers, but not as a kheeper server does ({what}): is the address right, and its http:// or https://?"
    )]
    NotKheeper {
        /// The server.
        origin: Origin,
        /// What it answered.
        what: String,
    },
    /// This machine's clock is off, so that the server refuses its tokens.
    #[error(
        "this machine's clock is {secs} s {} that of {origin}, and tokens allow {CLOCK_SKEW_SECS_MAX} s: set it (timedatectl set-ntp true), then try again",
        if *.ahead { "ahead of" } else { "behind" }
    )]
    ClockOff {
        /// The server.
        origin: Origin,
        /// By how much.
        secs: u64,
        /// Whether this machine's clock is the later one.
        ahead: bool,
    },
    /// The server said no, and why.
    #[error("{}{}", problem.detail, advice(problem))]
    Refused {
        /// What it said.
        problem: Problem,
    },
}

impl ControlError {
    /// Its class.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } => ExitCode::Unavailable,
            Self::CertificateNotTrusted { .. } | Self::Tls { .. } | Self::NotKheeper { .. } => ExitCode::Untrusted,
            Self::ClockOff { .. } => ExitCode::Denied,
            Self::Refused { problem } => match problem.status {
                400 if problem.name() == "token-expired" => ExitCode::Denied,
                401 | 403 => ExitCode::Denied,
                404 => ExitCode::NotFound,
                409 | 410 | 412 => ExitCode::Conflict,
                501 => ExitCode::NotBuilt,
                429 | 500.. => ExitCode::Unavailable,
                _ => ExitCode::Failure,
            },
        }
    }

    /// The server's refusal, if that is what it is.
    pub(crate) fn refusal(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem } => Some(problem),
            _ => None,
        }
    }
}

/// What to do, where the server's own words cannot say it.
fn advice(problem: &Problem) -> &'static str {
    match problem.name() {
        "token-expired" => "; is this machine's clock right?",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, kind: &str) -> ControlError {
        let kind = format!("{}{kind}", Problem::KIND_PREFIX);
        let problem = Problem { kind, title: String::new(), status, detail: "it is so".to_owned() };
        ControlError::Refused { problem }
    }

    #[test]
    fn refusals_have_classes_by_status() {
        assert_eq!(refused(403, "access-denied").exit_code(), ExitCode::Denied);
        assert_eq!(refused(404, "no-such-host").exit_code(), ExitCode::NotFound);
        assert_eq!(refused(409, "name-taken").exit_code(), ExitCode::Conflict);
        assert_eq!(refused(503, "unavailable").exit_code(), ExitCode::Unavailable);
        assert_eq!(refused(400, "malformed-body").exit_code(), ExitCode::Failure);
        assert_eq!(refused(400, "token-expired").exit_code(), ExitCode::Denied);
    }

    #[test]
    fn messages_say_what_to_do() {
        assert!(refused(400, "token-expired").to_string().contains("clock"));
        let origin: Origin = "https://backup.example.com".parse().unwrap();
        let clock = ControlError::ClockOff { origin, secs: 7200, ahead: false };
        assert!(clock.to_string().contains("7200 s behind that of https://backup.example.com:443"), "{clock}");
    }
}
