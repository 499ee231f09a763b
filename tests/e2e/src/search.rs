//! No secret in anything that our programs write.
//!
//! Where `KHEEPER_TRACE_SEARCH` names a file, each of our programs is started at trace level, and what it writes to standard
//! output and standard error is searched, piece by piece, until it has ended: for tokens, private keys, and the
//! `Authorization` that a client has shown. What is found fails the test. The file gets a line for each output that was
//! searched, with its bytes, and one for each thing that was found, so that whoever runs the tests can add them up and
//! misses nothing that a test could not report any more.
//!
//! Tests see the lines of the usual levels only, as if nobody was looking.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;

/// Bytes that are kept before they are searched: keys that a program makes are on disk by then.
const PIECE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The shortest part of a JWT that is worth a name.
const JWT_PART_MIN: usize = 8;
/// Characters of a found token that may be repeated.
const SHOWN: usize = 12;

/// How a private key begins in base64, whoever's it is: PKCS#8 of Ed25519 (both versions) and of P-256.
const KEYS_IN_BASE64: [&[u8]; 3] = [b"MC4CAQAwBQYDK2Vw", b"MFECAQEwBQYDK2Vw", b"MIGHAgEAMBMGByqGSM49AgEG"];

/// What a command is there to print, on its standard output and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// No secret at all.
    Nothing,
    /// A join token.
    JoinToken,
    /// An access or a registration token.
    Jwt,
}

/// Makes a command that is about to be started a searched one, if it runs a program of ours and a search was asked for: the
/// searches of its standard output and of its standard error.
pub(crate) fn begin(name: &str, command: &mut Command) -> Option<[Search; 2]> {
    let tally = tally()?;
    if !runs_ours(command) {
        return None;
    }
    // Who sets the level wants to see for themselves.
    let own_level = command.get_envs().any(|(name, value)| name == "RUST_LOG" && value.is_some());
    if !own_level {
        command.env("RUST_LOG", "trace");
    }
    let config = command.get_envs().find(|(name, _)| *name == "KHEEPER_CONFIG").and_then(|(_, value)| value);
    let config = config.map(PathBuf::from);
    let search = |stream: &str, shows: Shows| {
        let mut search = Search {
            what: format!("the {stream} of {name} ({})", words(command)),
            shows,
            hides_verbose: !own_level,
            config: config.clone(),
            keys: BTreeSet::new(),
            piece: Vec::new(),
            bytes: 0,
            verbose_lines: 0,
            found: Arc::default(),
            tally: tally.clone(),
        };
        search.learn_keys();
        search
    };
    Some([search("standard output", shows(command)), search("standard error", Shows::Nothing)])
}

fn tally() -> Option<PathBuf> {
    std::env::var_os("KHEEPER_TRACE_SEARCH").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Whether the program is one of ours, or starts one: every test has them in a directory called `bin`.
fn runs_ours(command: &Command) -> bool {
    let ours = |word: &OsStr| word.to_string_lossy().contains("bin/kheeper");
    ours(command.get_program()) || command.get_args().any(ours)
}

fn shows(command: &Command) -> Shows {
    let args: Vec<&OsStr> = command.get_args().collect();
    let calls = |noun: &str, verb: &str| args.windows(2).any(|pair| pair[0] == noun && pair[1] == verb);
    if calls("hosts", "create") || calls("hosts", "rejoin") {
        Shows::JoinToken
    } else if calls("auth", "login") || calls("auth", "token") {
        Shows::Jwt
    } else {
        Shows::Nothing
    }
}

/// The command's first words, for messages; a token among them is no news.
fn words(command: &Command) -> String {
    let words = command.get_args().map(|word| word.to_string_lossy()).filter(|word| word.len() < 40);
    words.take(4).collect::<Vec<_>>().join(" ")
}

/// The search of one output.
#[derive(Debug)]
pub(crate) struct Search {
    what: String,
    shows: Shows,
    hides_verbose: bool,
    config: Option<PathBuf>,
    /// Every form in which a key of its own could be printed.
    keys: BTreeSet<(&'static str, Vec<u8>)>,
    piece: Vec<u8>,
    bytes: u64,
    /// Lines of levels that are not usually on: none at all would mean that nothing was switched on.
    verbose_lines: u64,
    found: Arc<Mutex<Vec<String>>>,
    tally: PathBuf,
}

impl Search {
    /// Takes a line, or all there is. Whether a test may see it: not if it is of a level that is not usually on.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> bool {
        self.piece.extend_from_slice(bytes);
        self.piece.push(b'\n');
        if self.piece.len() >= PIECE_BYTES_MAX {
            self.search();
        }
        let is_verbose = is_verbose(bytes);
        self.verbose_lines += u64::from(is_verbose);
        !(self.hides_verbose && is_verbose)
    }

    /// What was found so far, also by those who look later.
    pub(crate) fn found(&self) -> Arc<Mutex<Vec<String>>> {
        Arc::clone(&self.found)
    }

    /// After the last byte.
    pub(crate) fn end(mut self) {
        self.search();
        self.note(&format!("SEARCHED {} {}\n", self.bytes, self.verbose_lines));
    }

    fn search(&mut self) {
        self.learn_keys();
        let mut found: Vec<String> = looks_secret(&self.piece)
            .filter(|secret| !(secret.shown_by == self.shows && self.shows != Shows::Nothing))
            .map(|secret| secret.what)
            .collect();
        let keys = self.keys.iter().filter(|(_, form)| memmem::find(&self.piece, form).is_some());
        found.extend(keys.map(|(what, _)| (*what).to_owned()));
        for what in &found {
            self.note(&format!("FOUND {what} in {}\n", self.what));
        }
        let place = found.into_iter().map(|what| format!("{what} in {}", self.what));
        self.found.lock().expect("no holder panics").extend(place);
        self.bytes += self.piece.len() as u64;
        self.piece.clear();
    }

    fn learn_keys(&mut self) {
        let Some(config) = &self.config else { return };
        for context in fs::read_dir(config).into_iter().flatten().map_while(Result::ok) {
            for file in fs::read_dir(context.path()).into_iter().flatten().map_while(Result::ok) {
                let is_key = file.path().extension() == Some(OsStr::new("pem"));
                let pem = is_key.then(|| fs::read_to_string(file.path()).ok()).flatten();
                self.keys.extend(pem.iter().flat_map(|pem| forms_of_key(pem)));
            }
        }
    }

    fn note(&self, line: &str) {
        let file = OpenOptions::new().create(true).append(true).open(&self.tally);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("$KHEEPER_TRACE_SEARCH can be written");
    }
}

/// Fails the test if anything was found. While it is failing already there is nothing to add but the words.
#[track_caller]
pub(crate) fn judge(found: &[Arc<Mutex<Vec<String>>>]) {
    let found: Vec<String> = found.iter().flat_map(|found| found.lock().expect("no holder panics").clone()).collect();
    if found.is_empty() {
        return;
    }
    let message = format!("a secret was printed: {}", found.join("; "));
    if std::thread::panicking() {
        eprintln!("{message}");
    } else {
        panic!("{message}");
    }
}

/// A line of tracing's own levels below `INFO`, in one of our two forms.
fn is_verbose(line: &[u8]) -> bool {
    let head = &line[..line.len().min(100)];
    let level = head.split(|b| *b == b' ').filter(|word| !word.is_empty()).nth(1);
    let in_json = [b"\"level\":\"TRACE\"".as_slice(), b"\"level\":\"DEBUG\""];
    matches!(level, Some(b"TRACE" | b"DEBUG")) || in_json.iter().any(|level| memmem::find(head, level).is_some())
}

/// Something that looks like a secret.
#[derive(Debug)]
struct Secret {
    what: String,
    shown_by: Shows,
}

/// What looks like a secret in `bytes`, whoever's it is.
pub fn secrets_in(bytes: &[u8]) -> Vec<String> {
    looks_secret(bytes).map(|secret| secret.what).collect()
}

fn looks_secret(bytes: &[u8]) -> impl Iterator<Item = Secret> {
    let token = |start: usize, shown_by: Shows| {
        let shown = String::from_utf8_lossy(&bytes[start..(start + SHOWN).min(bytes.len())]);
        Secret { what: format!("something like a token: {shown}…"), shown_by }
    };
    let jwts = memmem::find_iter(bytes, b"eyJ").filter(|at| starts_word(bytes, *at) && is_jwt(word(&bytes[*at..])));
    let jwts = jwts.map(move |at| token(at, Shows::Jwt));
    let joins = memmem::find_iter(bytes, b"kjt1.").filter(|at| word(&bytes[*at..]).len() > 40);
    let joins = joins.map(move |at| token(at, Shows::JoinToken));
    let is_there = |what: &str, is_there: bool| {
        is_there.then(|| Secret { what: what.to_owned(), shown_by: Shows::Nothing }).into_iter()
    };
    let pem = is_there("a private key in PEM", memmem::find(bytes, b"PRIVATE KEY-----").is_some());
    let der = KEYS_IN_BASE64.iter().any(|key| memmem::find(bytes, key).is_some());
    let authorization = [(b"Credential=".as_slice(), 3), (b"Signature=", 16)]
        .iter()
        .any(|(name, length)| has_value(bytes, name, *length));
    jwts.chain(joins)
        .chain(pem)
        .chain(is_there("a private key in base64", der))
        .chain(is_there("a client's Authorization", authorization || has_sigv2(bytes)))
}

/// Whether `name` is followed by a value of at least so many characters: not where a message explains the form.
fn has_value(bytes: &[u8], name: &[u8], length: usize) -> bool {
    memmem::find_iter(bytes, name).any(|at| {
        let value = &bytes[at + name.len()..];
        value.iter().take_while(|b| b.is_ascii_alphanumeric() || b"%+/=".contains(b)).take(length).count() == length
    })
}

/// `AWS KEY:` and 20 bytes in base64.
fn has_sigv2(bytes: &[u8]) -> bool {
    memmem::find_iter(bytes, b"AWS ").any(|at| {
        let rest = &bytes[at + 4..];
        let key = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).take(128).count();
        let signature = rest.get(key + 1..).unwrap_or_default();
        let signature =
            signature.iter().take_while(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b)).take(28).count();
        key >= 3 && rest.get(key) == Some(&b':') && signature == 28
    })
}

fn starts_word(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_none_or(|before| !is_of_word(bytes[before]))
}

fn word(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| !is_of_word(*b)).unwrap_or(bytes.len());
    &bytes[..end]
}

fn is_of_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.".contains(&b)
}

fn is_jwt(word: &[u8]) -> bool {
    let parts: Vec<&[u8]> = word.split(|b| *b == b'.').collect();
    parts.len() >= 3 && parts[..3].iter().all(|part| part.len() >= JWT_PART_MIN)
}

/// A private key's file as programs print bytes: its text, and the seed in it raw, in hex, in both base64s and as a list.
/// Nothing for what is no Ed25519 key.
pub fn forms_of_key(pem: &str) -> Vec<(&'static str, Vec<u8>)> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(&body).unwrap_or_default();
    let start = der.windows(4).position(|bytes| bytes == [4, 34, 4, 32]).map(|at| at + 4);
    let Some(seed) = start.and_then(|start| der.get(start..start + 32)) else { return Vec::new() };
    vec![
        ("a private key's PEM", body.clone().into_bytes()),
        ("a private key", seed.to_vec()),
        ("a private key in hex", hex::encode(seed).into_bytes()),
        ("a private key in base64", STANDARD_NO_PAD.encode(seed).into_bytes()),
        ("a private key in base64url", URL_SAFE_NO_PAD.encode(seed).into_bytes()),
        ("a private key as a list of bytes", format!("{seed:?}").into_bytes()),
    ]
}

/// The same of a file.
pub fn forms_of_key_file(path: &Path) -> Vec<(&'static str, Vec<u8>)> {
    forms_of_key(&fs::read_to_string(path).expect("a key can be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJob3N0In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ";
    const JOIN: &str = "kjt1.eyJvcmlnaW4iOiJodHRwOi8vMTI3LjAuMC4xOjE0MzAzIiwib3JnIjoibXlvcmciLCJob3N0Ijoid2ViIn0";
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                       -----END PRIVATE KEY-----\n";

    fn search(shows: Shows, dir: &Path) -> Search {
        Search {
            what: "an output".to_owned(),
            shows,
            hides_verbose: true,
            config: Some(dir.join("config")),
            keys: BTreeSet::new(),
            piece: Vec::new(),
            bytes: 0,
            verbose_lines: 0,
            found: Arc::default(),
            tally: dir.join("tally"),
        }
    }

    #[test]
    fn each_kind_of_secret_is_found_and_what_explains_its_form_is_not() {
        let forms = forms_of_key(PEM);
        assert_eq!(forms.len(), 6);
        let planted = [JWT, JOIN, PEM, "Credential=AKIA/2026/eu/s3", "AWS4 Signature=0123456789abcdef0", "x eyJ.eyJ.x"];
        let found: Vec<bool> = planted.iter().map(|text| !secrets_in(text.as_bytes()).is_empty()).collect();
        assert_eq!(found, [true, true, true, true, true, false]);
        assert!(!secrets_in(b"Authorization: AWS AKIA123:frJIUN8DYpKDtOLCwo//yllqDzg=").is_empty());
        assert!(!secrets_in(&forms[0].1).is_empty(), "base64 of PKCS#8 is told by its beginning");
        for innocent in
            ["kjt1.…", "Credential=… and Signature=…", "-----BEGIN PUBLIC KEY-----", "AWS says: no", "2026.11.28"]
        {
            assert_eq!(secrets_in(innocent.as_bytes()), [""; 0], "{innocent}");
        }
    }

    #[test]
    fn a_commands_own_key_is_found_in_every_form_also_if_it_was_made_later() {
        let dir = tempfile::tempdir().expect("a directory");
        for (what, form) in forms_of_key(PEM) {
            let mut search = search(Shows::Jwt, dir.path());
            search.take(&[b"2026 TRACE bytes ".as_slice(), &form, b" end"].concat());
            fs::create_dir_all(dir.path().join("config/default")).expect("a directory");
            fs::write(dir.path().join("config/default/ed25519_private.pem"), PEM).expect("a key");
            let found = search.found();
            search.end();
            assert!(found.lock().expect("nobody panics").iter().any(|found| found.contains(what)), "{what}");
        }
    }

    #[test]
    fn a_command_may_show_what_it_is_for_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        for (shows, jwts, joins) in [(Shows::Nothing, 1, 1), (Shows::Jwt, 0, 1), (Shows::JoinToken, 1, 0)] {
            for (text, expected) in [(JWT, jwts), (JOIN, joins)] {
                let mut search = search(shows, dir.path());
                assert!(search.take(text.as_bytes()));
                let found = search.found();
                search.end();
                assert_eq!(found.lock().expect("nobody panics").len(), expected, "{shows:?} {text}");
            }
        }
        let tally = fs::read_to_string(dir.path().join("tally")).expect("it was written");
        assert_eq!(tally.matches("SEARCHED ").count(), 6);
        assert_eq!(tally.matches("FOUND ").count(), 4);
    }

    #[test]
    fn tests_see_the_usual_levels_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut search = search(Shows::Nothing, dir.path());
        assert!(search.take(b"kheeper-server listening on http://127.0.0.1:1"));
        assert!(search.take(b"2026-11-28T08:00:00Z  INFO serving DEBUG and TRACE"), "a word is not a level");
        assert!(!search.take(b"2026-11-28T08:00:00Z TRACE polled"));
        assert!(!search.take(br#"{"timestamp":"2026-11-28T08:00:00Z","level":"DEBUG","fields":{}}"#));
        search.end();
        assert!(fs::read_to_string(dir.path().join("tally")).expect("it was written").ends_with(" 2\n"));
    }

    #[test]
    fn programs_of_ours_are_told_from_others() {
        let runs = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args);
            runs_ours(&command)
        };
        assert!(runs("/tmp/x/bin/kheeper", &["status"]) && runs("strace", &["-f", "/tmp/x/bin/kheeper-server"]));
        assert!(runs("postgres", &["-c", "archive_command=/tmp/x/bin/kheeper walg wal-push %p"]));
        assert!(!runs("restic", &["-r", "/tmp/kheeper-e2e-1/repository"]));
        let mut command = Command::new("bin/kheeper");
        command.args(["--context", "alice", "hosts", "rejoin", "myorg/web-01"]);
        assert_eq!(shows(&command), Shows::JoinToken);
    }
}
