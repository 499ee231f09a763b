//! A program's own certificate, issued by its own authority, reused over restarts and renewed before it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kheeper_model::{Clock, Timestamp};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::time::Instant;

use super::TlsError;
use super::authority::{Authority, AuthoritySpec};
use super::certificate::{self, Certificate};
use super::files::{self, PRIVATE};

const DAY_SECS: u64 = 24 * 3600;
/// How long a certificate is good for. Clients that restrict it at all allow 398 days or more.
const LIFE_SECS: u64 = 90 * DAY_SECS;
/// One with less time left is made anew: a program that was off over the end finds out at its start, one that runs has
/// a month of tries.
const LEFT_SECS_MIN: u64 = 30 * DAY_SECS;
/// It counts from yesterday, so that a clock which is set back a little does not make it invalid.
const BACKDATED_SECS: u64 = DAY_SECS;
/// How often a running program looks whether it is time.
const RENEWAL_PERIOD: Duration = Duration::from_secs(3600);
/// How often it looks whether somebody has replaced or removed the file.
const LOOK_PERIOD: Duration = Duration::from_secs(10);
/// The certificate, its authority's, and its key, in one file: they are replaced together or not at all.
const FILE: &str = "own.pem";

/// What a certificate says.
#[derive(Debug, Clone)]
pub struct OwnCertificateSpec {
    /// Who signs it.
    pub authority: AuthoritySpec,
    /// What people read in a certificate viewer.
    pub common_name: &'static str,
    /// The DNS names and IP addresses that it is good for.
    pub names: Vec<String>,
}

/// A certificate in a directory, with its authority beside it.
#[derive(Debug)]
pub struct OwnCertificate {
    certificate: Arc<Certificate>,
    authority: CertificateDer<'static>,
    dir: PathBuf,
    spec: OwnCertificateSpec,
}

impl OwnCertificate {
    /// Makes the directory, and what is missing above it, with `mode`, for [`Self::open`].
    pub fn make_dir(dir: &Path, mode: u32) -> Result<(), TlsError> {
        files::make_dir(dir, mode)
    }

    /// Opens the certificate in `dir`, or makes it: when there is none, when it is not for these names or not from the
    /// authority there, and when it has less than 30 days left.
    pub fn open(dir: &Path, spec: OwnCertificateSpec, now: Timestamp) -> Result<Self, TlsError> {
        let authority = Authority::open(dir, spec.authority)?;
        let file = dir.join(FILE);
        let kept = certificate::read(&file, &file)
            .ok()
            .filter(|kept| is_good(kept, &spec.names, authority.certificate(), now));
        let key = match kept {
            Some(kept) => {
                // Refused like the authority's, when somebody widened it.
                files::read_private(&file)?;
                kept
            }
            None => issue(&authority, &spec, &file, now)?,
        };
        let certificate = Arc::new(Certificate::new(key));
        Ok(Self { certificate, authority: authority.certificate().clone(), dir: dir.to_owned(), spec })
    }

    /// What a listener shows.
    pub fn certificate(&self) -> &Arc<Certificate> {
        &self.certificate
    }

    /// The authority's certificate, for a pin.
    pub fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// The file that clients are told to trust.
    pub fn authority_file(&self) -> PathBuf {
        self.dir.join(Authority::CERTIFICATE_FILE)
    }

    /// Shows what lies in the directory, if it is another certificate by now, and makes one if that is gone or has less than
    /// 30 days left; whether it did.
    pub fn renew_if_due(&self, now: Timestamp) -> Result<bool, TlsError> {
        let file = self.dir.join(FILE);
        let kept = certificate::read(&file, &file);
        if kept.is_ok_and(|kept| {
            kept.cert == self.certificate.chain() && is_good(&kept, &self.spec.names, &self.authority, now)
        }) {
            return Ok(false);
        }
        let renewed = Self::open(&self.dir, self.spec.clone(), now)?;
        self.certificate.replace(renewed.certificate.current());
        Ok(true)
    }

    fn modified(&self) -> Option<SystemTime> {
        std::fs::metadata(self.dir.join(FILE)).and_then(|meta| meta.modified()).ok()
    }

    /// Renews it in time, and when its file was replaced or removed, for as long as the program runs; what goes wrong is
    /// logged and tried again. Never returns.
    pub async fn keep_renewed(self, clock: Arc<dyn Clock>) {
        let this = Arc::new(self);
        let mut seen = this.modified();
        let mut looked = Instant::now();
        let mut ticks = tokio::time::interval(LOOK_PERIOD);
        loop {
            ticks.tick().await;
            let modified = this.modified();
            if modified == seen && looked.elapsed() < RENEWAL_PERIOD {
                continue;
            }
            (seen, looked) = (modified, Instant::now());
            let (own, now) = (Arc::clone(&this), clock.now());
            match tokio::task::spawn_blocking(move || own.renew_if_due(now)).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => tracing::info!(dir = %this.dir.display(), "the TLS certificate was renewed"),
                Ok(Err(error)) => tracing::error!(
                    why = %error, cause = std::error::Error::source(&error).map(ToString::to_string),
                    "failed to renew the TLS certificate"
                ),
                Err(error) => tracing::error!(%error, "failed to renew the TLS certificate"),
            }
        }
    }
}

fn issue(
    authority: &Authority,
    spec: &OwnCertificateSpec,
    file: &Path,
    now: Timestamp,
) -> Result<CertifiedKey, TlsError> {
    let at =
        |time: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(time.as_secs().max(0).unsigned_abs());
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(spec.names.clone())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, spec.common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = at(now.minus_secs(BACKDATED_SECS));
    params.not_after = at(now.plus_secs(LIFE_SECS));
    let cert = authority.sign(&params, &key)?;
    let pem = format!("{}{}{}", cert.pem(), authority.pem(), key.serialize_pem());
    files::write_synced(file, pem.as_bytes(), PRIVATE)?;
    certificate::read(file, file)
}

fn is_good(kept: &CertifiedKey, names: &[String], authority: &CertificateDer<'static>, now: Timestamp) -> bool {
    is_good_chain(&kept.cert, names, authority, now)
}

/// Whether a client that trusts the authority would believe the certificate for every name, now and for long enough:
/// the very question that decides, asked of the same library that our own clients use.
fn is_good_chain(
    chain: &[CertificateDer<'static>],
    names: &[String],
    authority: &CertificateDer<'static>,
    now: Timestamp,
) -> bool {
    let mut roots = RootCertStore::empty();
    if roots.add(authority.clone()).is_err() {
        return false;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), certificate::provider()).build();
    let (Ok(verifier), Some((own, issuers))) = (verifier, chain.split_first()) else { return false };
    let believed = |name: &String, at: Timestamp| {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs().max(0).unsigned_abs()));
        let Ok(name) = ServerName::try_from(name.as_str()) else { return false };
        verifier.verify_server_cert(own, issuers, &name, &[], at).is_ok()
    };
    names.iter().all(|name| believed(name, now) && believed(name, now.plus_secs(LEFT_SECS_MIN)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn spec(names: &[&str]) -> OwnCertificateSpec {
        OwnCertificateSpec {
            authority: AuthoritySpec::LoopbackOnly { common_name: "test CA" },
            common_name: "test",
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn open(dir: &Path, now: Timestamp) -> OwnCertificate {
        OwnCertificate::open(dir, spec(&["localhost", "127.0.0.1", "::1"]), now).expect("opened")
    }

    #[test]
    fn certificate_and_authority_are_reused_over_restarts() {
        let dir = tempfile::tempdir().expect("a directory");
        let (first, second) = (open(dir.path(), NOW), open(dir.path(), NOW.plus_secs(DAY_SECS)));
        assert_eq!(first.certificate().chain(), second.certificate().chain());
        assert_eq!(first.authority(), second.authority());
        assert!(second.certificate().server_config().is_ok());
    }

    #[test]
    fn a_certificate_with_less_than_a_month_left_is_made_anew_by_the_same_authority() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = open(dir.path(), NOW);
        let soon = NOW.plus_secs(LIFE_SECS - LEFT_SECS_MIN);
        assert!(!first.renew_if_due(soon.minus_secs(1)).expect("looked"), "it is not time yet");
        let old = first.certificate().chain();
        assert!(first.renew_if_due(soon.plus_secs(1)).expect("renewed"));
        let new = first.certificate().chain();
        assert_ne!(old[0], new[0], "a running program shows the new one");
        assert_eq!(old[1], new[1], "clients need not be told of anything");
        let restarted = open(dir.path(), soon.plus_secs(2));
        assert_eq!(restarted.certificate().chain(), new);
        let years_later = open(dir.path(), NOW.plus_secs(3650 * DAY_SECS));
        assert_ne!(years_later.certificate().chain()[0], new[0]);
        assert_eq!(years_later.authority(), first.authority());
    }

    #[test]
    fn one_that_was_replaced_is_shown_and_one_that_was_removed_is_made_anew_by_the_same_authority() {
        let dir = tempfile::tempdir().expect("a directory");
        let running = open(dir.path(), NOW);
        let first = running.certificate().chain();
        fs::remove_file(dir.path().join(FILE)).expect("somebody had the key");
        assert!(running.renew_if_due(NOW).expect("made"));
        let second = running.certificate().chain();
        assert!(first[0] != second[0] && first[1] == second[1]);
        assert!(!running.renew_if_due(NOW).expect("looked"));
        // By another process, such as an operator's own tool.
        fs::remove_file(dir.path().join(FILE)).expect("again");
        let third = open(dir.path(), NOW).certificate().chain();
        assert!(running.renew_if_due(NOW).expect("taken over"));
        assert_eq!(running.certificate().chain(), third);
        fs::write(dir.path().join(FILE), "half a cert").expect("written");
        assert!(running.renew_if_due(NOW).expect("made"), "what is no certificate is replaced");
        assert!(![&first, &second, &third].contains(&&running.certificate().chain()));
    }

    #[test]
    fn a_clock_that_was_far_ahead_does_not_leave_a_certificate_of_the_future() {
        let dir = tempfile::tempdir().expect("a directory");
        let ahead = open(dir.path(), NOW.plus_secs(400 * DAY_SECS));
        let back = open(dir.path(), NOW);
        assert_ne!(ahead.certificate().chain()[0], back.certificate().chain()[0]);
    }

    #[test]
    fn another_list_of_names_makes_another_certificate() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = OwnCertificate::open(dir.path(), spec(&["localhost"]), NOW).expect("made");
        let second = OwnCertificate::open(dir.path(), spec(&["localhost", "127.0.0.1"]), NOW).expect("made");
        assert_ne!(first.certificate().chain()[0], second.certificate().chain()[0]);
    }

    #[test]
    fn nobody_else_reads_a_private_key_and_everybody_reads_the_authoritys_certificate() {
        let dir = tempfile::tempdir().expect("a directory");
        open(dir.path(), NOW);
        let mut keys = 0;
        for entry in fs::read_dir(dir.path()).expect("listed") {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("there").permissions().mode() & 0o7777;
            let content = fs::read(entry.path()).expect("read");
            if String::from_utf8_lossy(&content).contains("PRIVATE KEY") {
                keys += 1;
                assert_eq!(mode, 0o600, "{}", entry.path().display());
            }
        }
        assert_eq!(keys, 2, "the authority's and the certificate's");
        let mode = fs::metadata(dir.path().join("ca.pem")).expect("there").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o644);
    }

    #[test]
    fn an_authority_for_loopback_is_there_for_java_too_and_again_when_it_is_another() {
        let dir = tempfile::tempdir().expect("a directory");
        let java = dir.path().join("ca.jks");
        let first = open(dir.path(), NOW);
        let store = fs::read(&java).expect("it is made");
        assert!(store.windows(first.authority().len()).any(|bytes| bytes == first.authority().as_ref()));
        assert_eq!(fs::metadata(&java).expect("there").permissions().mode() & 0o7777, 0o644);
        fs::write(&java, b"damaged").expect("writable");
        open(dir.path(), NOW);
        assert!(fs::read(&java).expect("there") == store);
    }

    #[test]
    fn a_private_key_that_others_can_read_is_refused() {
        for (name, mode) in [("ca-key.pem", 0o640), ("own.pem", 0o604)] {
            let dir = tempfile::tempdir().expect("a directory");
            open(dir.path(), NOW);
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).expect("changed");
            let error = OwnCertificate::open(dir.path(), spec(&["localhost", "127.0.0.1", "::1"]), NOW);
            let error = error.expect_err("somebody may have it already").to_string();
            assert!(error.contains(name) && error.contains("can be read by others"), "{error}");
        }
    }

    #[test]
    fn an_authority_for_loopback_vouches_for_no_other_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = OwnCertificate::open(dir.path(), spec(&["backup.example.com"]), NOW).expect("signed all the same");
        let names = ["backup.example.com".to_owned()];
        assert!(!is_good_chain(&made.certificate().chain(), &names, made.authority(), NOW));
    }

    #[test]
    fn two_starts_at_once_make_one_authority() {
        let dir = tempfile::tempdir().expect("a directory");
        let authorities: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| open(dir.path(), NOW).authority().clone())).collect();
            starts.into_iter().map(|start| start.join().expect("no panic")).collect()
        });
        assert!(authorities.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn half_an_authority_is_replaced_by_a_whole_one() {
        let dir = tempfile::tempdir().expect("a directory");
        open(dir.path(), NOW);
        fs::remove_file(dir.path().join("ca.pem")).expect("as after a crash between the two files");
        let mended = open(dir.path(), NOW);
        assert!(is_good_chain(&mended.certificate().chain(), &["localhost".to_owned()], mended.authority(), NOW));
    }
}
