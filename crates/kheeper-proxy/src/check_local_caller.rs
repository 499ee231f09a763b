//! Which programs on this machine may use the identity.
//!
//! A port on loopback can be reached by every local user, by a web page in a local browser (also through a name that it
//! rebinds to 127.0.0.1), and by a local service that is tricked into fetching a URL. Each has its own check here.

use http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};
use kheeper_s3::{S3Error, signature};

use crate::config::LocalGuard;
use crate::error::{Refusal, StartError};
use crate::socket_owner::Uid;

/// What is known of a connection before it says anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// Our own port, or `None` on a unix socket.
    pub(crate) port: Option<u16>,
    /// Whether the owner of its socket is admitted.
    pub(crate) owner: Owner,
}

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Admitted, or not asked for.
    Admitted,
    /// A user who is not on the list.
    Refused(Uid),
    /// The kernel knows no such socket.
    Unknown,
}

/// The checks, ready to run.
#[derive(Debug)]
pub(crate) struct Guard {
    uids: Option<Vec<Uid>>,
    hosts: Vec<String>,
    allow_unsigned: bool,
}

impl Guard {
    /// Looks the users up. One who does not exist here is told of and admits nobody: a packaged list may name users of
    /// programs that are not installed. A list of which nobody exists is an error.
    pub(crate) fn new(config: &LocalGuard) -> Result<Self, StartError> {
        let mut uids = Vec::new();
        for name in &config.allow_users {
            match uid_of(name)? {
                Some(uid) => uids.push(uid),
                None => tracing::warn!("--allow-user {name}: there is no such user here"),
            }
        }
        if uids.is_empty() && !config.allow_users.is_empty() {
            let users = config.allow_users.join(", ");
            return Err(StartError::Config(format!("--allow-user {users}: there is no such user here")));
        }
        let uids = (!config.allow_users.is_empty()).then_some(uids);
        let hosts = ["localhost", "127.0.0.1", "[::1]"].into_iter().map(str::to_owned);
        let hosts = hosts.chain(config.allow_hosts.iter().map(|host| host.to_ascii_lowercase())).collect();
        Ok(Self { uids, hosts, allow_unsigned: config.allow_unsigned })
    }

    /// Whether the owners of sockets matter.
    pub(crate) fn asks_for_owner(&self) -> bool {
        self.uids.is_some()
    }

    /// Judges the owner of a socket, as the kernel named it.
    pub(crate) fn judge_owner(&self, uid: Option<Uid>) -> Owner {
        match (&self.uids, uid) {
            (None, _) => Owner::Admitted,
            (Some(_), None) => Owner::Unknown,
            (Some(admitted), Some(uid)) if admitted.contains(&uid) => Owner::Admitted,
            (Some(_), Some(uid)) => Owner::Refused(uid),
        }
    }

    /// Checks what every request has to satisfy, ours at `/-/` included.
    pub(crate) fn check_caller(&self, caller: Caller, head: &Parts) -> Result<(), Refusal> {
        match caller.owner {
            Owner::Admitted => {}
            Owner::Refused(uid) => {
                let why = "This user may not use the proxy (kheeper object-proxy --allow-user).";
                return Err(Refusal::denied(why).because(format!("the socket belongs to uid {uid}")));
            }
            Owner::Unknown => {
                let why = "The proxy could not learn which user this connection belongs to.";
                return Err(Refusal::denied(why).because("the kernel knows no established socket with these addresses"));
            }
        }
        refuse_browsers(&head.headers)?;
        if let Some(port) = caller.port {
            self.check_host(head, port)?;
        }
        Ok(())
    }

    /// Checks what a request to the store has to satisfy besides.
    pub(crate) fn check_signed(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.allow_unsigned || (headers.get_all(AUTHORIZATION).iter().count() == 1 && signature::in_headers(headers))
        {
            return Ok(());
        }
        Err(Refusal::denied(
            "The request is not signed: give the client any access key and secret (they are dropped), or start the \
             proxy with --allow-unsigned.",
        ))
    }

    fn check_host(&self, head: &Parts, port: u16) -> Result<(), Refusal> {
        let mut hosts = head.headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default().to_ascii_lowercase(),
            _ => return Err(Refusal::denied("A request has exactly one Host header.")),
        };
        if let Some(authority) = head.uri.authority()
            && !authority.as_str().eq_ignore_ascii_case(&host)
        {
            return Err(Refusal::denied("The request's target and its Host header name different servers."));
        }
        let name = host.strip_suffix(&format!(":{port}")).unwrap_or(&host);
        if self.hosts.iter().any(|allowed| allowed == name) {
            return Ok(());
        }
        let without_port = name.rsplit_once(':').map_or(name, |(name, _)| name);
        let virtual_host = self
            .hosts
            .iter()
            .any(|ours| without_port.strip_suffix(ours.as_str()).is_some_and(|rest| rest.ends_with('.')));
        if virtual_host {
            return Err(S3Error::invalid_request(
                "The bucket stands in the host name: switch the client to path style (AWS_S3_FORCE_PATH_STYLE=true, \
                 s3ForcePathStyle, addressing_style = path).",
            )
            .into());
        }
        Err(Refusal::denied("The Host header does not name this proxy (--allow-host adds a name).")
            .because(format!("Host: {}", name.escape_debug())))
    }
}

/// Refuses what only a browser sends. `Sec-Fetch-Mode` alone is Node's fetch, which is a program like any other.
fn refuse_browsers(headers: &HeaderMap) -> Result<(), Refusal> {
    const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
    match [ORIGIN, SEC_FETCH_SITE, SEC_FETCH_DEST].iter().find(|name| headers.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(Refusal::denied("Web pages may not use the proxy.").because(format!("{name} is set"))),
    }
}

/// The methods that S3 has.
pub(crate) fn is_s3_method(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE].contains(method)
}

fn uid_of(name: &str) -> Result<Option<Uid>, StartError> {
    match nix::unistd::User::from_name(name) {
        Ok(Some(user)) => Ok(Some(user.uid.as_raw())),
        Ok(None) => Ok(name.parse().ok()),
        Err(errno) => Err(StartError::System { what: "look a user up", source: errno.into() }),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use kheeper_s3::S3ErrorCode;

    use super::*;

    const SIGNED: &str =
        "AWS4-HMAC-SHA256 Credential=dummy/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).expect("valid").into_parts().0
    }

    fn verdict(guard: &Guard, uri: &str, headers: &[(&str, &str)]) -> Option<S3ErrorCode> {
        let caller = Caller { port: Some(5000), owner: Owner::Admitted };
        let head = head(uri, headers);
        let checked = guard.check_caller(caller, &head).and_then(|()| guard.check_signed(&head.headers));
        checked.err().map(|refusal| refusal.error.code)
    }

    fn guard() -> Guard {
        Guard::new(&LocalGuard::default()).expect("valid")
    }

    #[test]
    fn loopback_names_with_our_port_or_none_are_admitted() {
        for host in
            ["localhost", "localhost:5000", "127.0.0.1", "127.0.0.1:5000", "[::1]", "[::1]:5000", "LocalHost:5000"]
        {
            assert_eq!(verdict(&guard(), "/b/k", &[("host", host), ("authorization", SIGNED)]), None, "{host}");
        }
    }

    #[test]
    fn a_rebound_name_is_refused() {
        for host in [
            "evil.com",
            "evil.com:5000",
            "localhost:5001",
            "127.0.0.1:80",
            "localhost.evil.com",
            "notlocalhost",
            "127.0.0.2",
        ] {
            let code = verdict(&guard(), "/b/k", &[("host", host), ("authorization", SIGNED)]);
            assert_eq!(code, Some(S3ErrorCode::AccessDenied), "{host}");
        }
        assert_eq!(verdict(&guard(), "/b/k", &[("authorization", SIGNED)]), Some(S3ErrorCode::AccessDenied));
        let twice = [("host", "localhost"), ("host", "localhost"), ("authorization", SIGNED)];
        assert_eq!(verdict(&guard(), "/b/k", &twice), Some(S3ErrorCode::AccessDenied));
    }

    #[test]
    fn an_absolute_target_must_agree_with_host() {
        let headers = [("host", "localhost:5000"), ("authorization", SIGNED)];
        assert_eq!(verdict(&guard(), "http://localhost:5000/b/k", &headers), None);
        assert_eq!(verdict(&guard(), "http://evil.com/b/k", &headers), Some(S3ErrorCode::AccessDenied));
    }

    #[test]
    fn a_bucket_in_the_host_name_is_told_about_path_style() {
        for host in ["myorg.localhost:5000", "myorg.127.0.0.1:5000", "myorg.localhost"] {
            let code = verdict(&guard(), "/k", &[("host", host), ("authorization", SIGNED)]);
            assert_eq!(code, Some(S3ErrorCode::InvalidRequest), "{host}");
        }
    }

    #[test]
    fn what_only_a_browser_sends_is_refused_and_nodes_fetch_is_not() {
        for (name, value) in [("origin", "null"), ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "empty")] {
            let headers = [("host", "localhost"), ("authorization", SIGNED), (name, value)];
            assert_eq!(verdict(&guard(), "/b/k", &headers), Some(S3ErrorCode::AccessDenied), "{name}");
        }
        let node = [("host", "localhost"), ("authorization", SIGNED), ("sec-fetch-mode", "cors")];
        assert_eq!(verdict(&guard(), "/b/k", &node), None);
    }

    #[test]
    fn only_a_signature_in_the_headers_counts_as_signed() {
        let presigned = "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0";
        assert_eq!(verdict(&guard(), presigned, &[("host", "localhost")]), Some(S3ErrorCode::AccessDenied));
        for forged in ["Bearer eyJ", "Basic eDp5", "AWSX y"] {
            let code = verdict(&guard(), "/b/k", &[("host", "localhost"), ("authorization", forged)]);
            assert_eq!(code, Some(S3ErrorCode::AccessDenied), "{forged}");
        }
        assert_eq!(verdict(&guard(), "/b/k", &[("host", "localhost"), ("authorization", "AWS a:b")]), None);
        let told = Guard::new(&LocalGuard { allow_unsigned: true, ..LocalGuard::default() }).expect("valid");
        assert_eq!(verdict(&told, "/b/k", &[("host", "localhost")]), None);
    }

    #[test]
    fn only_listed_users_are_admitted_and_an_unknown_owner_is_not() {
        let guard =
            Guard::new(&LocalGuard { allow_users: vec!["root".into(), "12345".into()], ..LocalGuard::default() });
        let guard = guard.expect("root exists everywhere");
        assert_eq!(guard.judge_owner(Some(0)), Owner::Admitted);
        assert_eq!(guard.judge_owner(Some(12345)), Owner::Admitted);
        assert_eq!(guard.judge_owner(Some(65534)), Owner::Refused(65534));
        assert_eq!(guard.judge_owner(None), Owner::Unknown);
        for owner in [Owner::Refused(65534), Owner::Unknown] {
            let head = head("/b/k", &[("host", "localhost"), ("authorization", SIGNED)]);
            assert!(guard.check_caller(Caller { port: Some(5000), owner }, &head).is_err());
        }
    }

    #[test]
    fn a_user_who_does_not_exist_admits_nobody() {
        let allowing = |users: &[&str]| {
            let allow_users = users.iter().map(|user| (*user).to_owned()).collect();
            Guard::new(&LocalGuard { allow_users, ..LocalGuard::default() })
        };
        let guard = allowing(&["root", "no-such-user-here"]).expect("one of them exists");
        assert_eq!(guard.judge_owner(Some(65534)), Owner::Refused(65534));
        assert!(allowing(&["no-such-user-here"]).is_err());
    }

    #[test]
    fn host_is_not_checked_on_a_unix_socket() {
        let head = head("/b/k", &[("host", "anything")]);
        assert!(guard().check_caller(Caller { port: None, owner: Owner::Admitted }, &head).is_ok());
    }
}
