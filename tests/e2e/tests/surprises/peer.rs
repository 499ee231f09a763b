//! versitygw, an S3 server by somebody else, and where it differs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use jiff::Timestamp;
use kheeper_e2e::server::free_port;
use kheeper_e2e::sigv4::{self, StaticKey};
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::{Request, Running, binaries};
use tempfile::TempDir;

use crate::subject::BUCKET;

/// What it is called.
pub(crate) const NAME: &str = "versitygw";

/// What it is told to believe.
pub(crate) const PEER_KEY: StaticKey = StaticKey { id: "kheepertest", secret: "kheepertestsecret" };

/// Why a case is another one there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Difference {
    /// It runs, and must fail.
    Differs(&'static str),
    /// It is not run.
    NotAsked(&'static str),
}

use Difference::{Differs, NotAsked};

/// Why the cases of `states` are not run.
const OWN_STATE: &str = "the case puts kheeper's own server into that state";

/// Every difference there is.
const DIFFERENCES: &[(&str, Difference)] = &[
    ("framing::aws_chunked_leaves_the_encoding_and_the_rest_stays", Differs("it stores aws-chunked as the encoding")),
    ("framing::a_refusal_comes_instead_of_the_100", Differs("it answers 100 before it looks at the request")),
    (
        "framing::every_framing_arrives_over_tls_as_over_plain_http",
        NotAsked("it has a certificate of its own or none, on one port"),
    ),
    (
        "multipart::an_upload_that_nobody_aborts_ends_after_a_week_and_one_that_goes_on_does_not",
        NotAsked("it has no such timer"),
    ),
    ("answers::a_head_beside_the_own_prefix_is_403_there_or_not", NotAsked("it has no owners inside a bucket")),
    ("deletes::one_key_that_may_not_go_refuses_them_all", NotAsked("it has no owners inside a bucket")),
    ("deletes::the_result_names_each_key_unless_quiet", Differs("it names them also when Quiet")),
    (
        "listing::keys_are_url_encoded_when_asked_and_only_then",
        Differs("it encodes no keys, and echoes an empty EncodingType"),
    ),
    ("paths::a_path_is_never_normalised", Differs("its keys are files: no `//`, no `..`, no bytes in `dir/`")),
    ("answers::last_modified_survives_a_restart", NotAsked("the case restarts kheeper's own programs")),
    ("answers::errors_are_xml_and_those_of_head_have_no_body", Differs("its errors have no Resource")),
    ("answers::any_region_and_any_access_key_will_do", NotAsked("it verifies signatures, as it should")),
    ("answers::wal_g_without_path_style_is_told_so", NotAsked("it listens for whoever asks")),
    ("answers::a_bucket_in_the_host_is_told_about_path_style", NotAsked("it listens for whoever asks")),
    ("buckets::a_parent_prefix_is_answered_and_filtered", NotAsked("it has no owners inside a bucket")),
    (
        "steering::a_permanent_refusal_is_403_or_501_and_never_a_status_to_retry",
        Differs("it takes a PUT that asks for encryption with KMS, and does not encrypt"),
    ),
    ("steering::a_503_names_itself_and_asks_for_no_longer_wait", NotAsked("the case stops kheeper's own server")),
    ("steering::every_answer_steers_its_client", NotAsked("most rows are about hosts and about what kheeper refuses")),
    (
        "steering::a_bucket_of_others_is_403_there_or_not_and_the_own_one_is_there_already",
        NotAsked("it says NoSuchBucket and BucketAlreadyOwnedByYou, as AWS does"),
    ),
    ("steering::no_head_is_a_redirect_or_a_400", NotAsked("it verifies signatures, as it should")),
    (
        "steering::a_400_always_says_why_and_means_the_same_to_signature_version_2",
        NotAsked("it verifies signatures, as it should"),
    ),
    ("states::too_much_at_once_is_503_slow_down_and_over_when_it_is_less", NotAsked(OWN_STATE)),
    ("states::damaged_bytes_are_500_and_neither_absent_nor_inside_a_200", NotAsked(OWN_STATE)),
    ("states::a_full_store_is_507_and_a_used_up_quota_is_403", NotAsked(OWN_STATE)),
    ("states::what_could_not_be_committed_is_503_and_no_200_with_an_error_in_it", NotAsked(OWN_STATE)),
];

/// The difference of the case called `name`, if there is one.
pub(crate) fn difference(name: &str) -> Option<Difference> {
    DIFFERENCES.iter().find(|(known, _)| *known == name).map(|(_, difference)| *difference)
}

/// The cases that the table names.
pub(crate) fn named() -> impl Iterator<Item = &'static str> {
    DIFFERENCES.iter().map(|(name, _)| *name)
}

/// Prints the table.
pub(crate) fn print_differences() {
    let Some(program) = program() else {
        println!(
            "No {NAME} in $KHEEPER_PEER, in target/tools/bin or on PATH, to hold the cases against; ./test installs it\n"
        );
        return;
    };
    println!("Beside {NAME} {}, where it differs:", version(&program));
    for (name, difference) in DIFFERENCES {
        match difference {
            Differs(reason) => println!("  {name}: fails there: {reason}"),
            NotAsked(reason) => println!("  {name}: not run there: {reason}"),
        }
    }
    println!();
}

/// What Go wrote into it when it was built; it does not know its own version.
fn version(program: &std::path::Path) -> String {
    let told = Command::new("go").args(["version", "-m"]).arg(program).output().ok();
    let text = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned()).unwrap_or_default();
    let module = text.lines().find_map(|line| line.trim().strip_prefix("mod\t"));
    module.and_then(|module| module.split('\t').nth(1)).unwrap_or("of some version").to_owned()
}

/// Its program: `$KHEEPER_PEER`, else where `./test` installs it, else on PATH.
pub(crate) fn program() -> Option<PathBuf> {
    let told = std::env::var_os("KHEEPER_PEER").map(PathBuf::from);
    let installed = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin/versitygw"));
    told.into_iter().chain([installed]).find(|file| file.is_file()).or_else(|| binaries::on_path(NAME))
}

/// It, running, with one bucket.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    _running: Running,
    _data: TempDir,
}

impl Peer {
    pub(crate) fn start() -> Self {
        let data =
            tempfile::Builder::new().prefix("kheeper-peer-").tempdir().expect("the temporary directory is writable");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new(program().expect("the caller has looked"));
        command.env("ROOT_ACCESS_KEY", PEER_KEY.id).env("ROOT_SECRET_KEY", PEER_KEY.secret);
        command.args(["--quiet", "--port"]).arg(address.to_string()).arg("posix").arg(data.path());
        let running = Running::start(NAME, command);
        wait::until("the peer's bucket", secs(30), || make_bucket(address));
        Self { address, _running: running, _data: data }
    }
}

fn make_bucket(address: SocketAddr) -> Option<()> {
    let (path, host) = (format!("/{BUCKET}"), address.to_string());
    let headers = [("host", host.as_str()), ("x-amz-content-sha256", sigv4::UNSIGNED)];
    let unsigned =
        sigv4::Unsigned { method: "PUT", path: &path, query: "", headers: &headers, payload: sigv4::UNSIGNED };
    let signature = sigv4::sign(PEER_KEY, &unsigned, Timestamp::now());
    let request = Request::new("PUT", &path)
        .header("x-amz-content-sha256", sigv4::UNSIGNED)
        .header("x-amz-date", &signature.date)
        .header("Authorization", &signature.authorization)
        .body("");
    request.try_send(address).ok().filter(|answer| answer.status == 200).map(drop)
}
