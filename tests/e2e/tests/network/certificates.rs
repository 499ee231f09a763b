//! The server's certificate: replaced while everything runs, and refused when it is not to be believed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use kheeper_e2e::wait::{OnDrop, secs, until};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Line, Proxy, World, command};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority of a test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key.
struct Certificate {
    pem: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("made");
        let mut params = CertificateParams::new(Vec::new()).expect("valid");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn issue(&self, name: &str) -> Certificate {
        self.issue_until(name, 4000)
    }

    /// Good for `name` until that year.
    fn issue_until(&self, name: &str, year: i32) -> Certificate {
        let key = KeyPair::generate().expect("made");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("valid");
        params.not_after = date_time_ymd(year, 1, 1);
        let pem = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Certificate { pem, key: key.serialize_pem() }
    }
}

/// A server with certificates from files or its own, behind a line, and the proxy of a host that joined before.
struct Scene {
    door: kheeper_e2e::Door,
    proxy: Proxy,
    line: Line,
    host: Host,
    world: World,
}

fn cert(world: &World) -> PathBuf {
    world.path("server.pem")
}

fn key(world: &World) -> PathBuf {
    world.path("server-key.pem")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("our own paths are plain")
}

impl Scene {
    /// `own` is `--tls-self-signed`; otherwise the files have to be there before the server starts.
    fn start(own: bool, prepare: impl FnOnce(&World) -> PathBuf) -> Self {
        let mut world = World::start();
        let host = world.host("web-01");
        assert!(world.server.terminate().success());
        let ca = prepare(&world);
        let line = Line::new();
        let origin = format!("https://{}", line.address());
        let (cert, key) = (cert(&world), key(&world));
        let own_options = ["--tls-self-signed", "--origin", &origin];
        let files = ["--tls-cert", text(&cert), "--tls-key", text(&key), "--origin", &origin];
        world.server.set_options(if own { &own_options[..] } else { &files[..] });
        world.server.restart();
        line.lead_to(world.server.address());
        let there = world.host_at(&host, "there", &origin);
        let proxy = Proxy::start(&there.cli, &["--ca-file", text(&ca)]);
        let scene = Self { door: proxy.door(), proxy, line, host, world };
        scene.wait_until_connected();
        scene
    }

    /// A new connection has a second and a half, in which a busy machine may not be done shaking hands.
    fn wait_until_connected(&self) {
        let path = self.host.path("connected");
        until("the proxy to reach the server", secs(20), || (self.door.put(&path, b"").status == 200).then_some(()));
    }

    /// The certificate that a new connection to the server is shown.
    fn shown(&self) -> String {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &self.world.server.address().to_string()]);
        let done = command::run(client, secs(20));
        let begin = done.stdout.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("none: {done}"));
        let end = done.stdout[begin..].find("-----END CERTIFICATE-----").expect("it ends") + begin;
        done.stdout[begin..end].split_whitespace().collect()
    }

    fn wait_until_shown(&self, certificate: &Certificate) {
        until("the new certificate", secs(40), || (self.shown() == bare(&certificate.pem)).then_some(()));
    }

    /// Lets `change` happen while a client writes without a break; nothing of it is refused. Afterwards no connection of
    /// before is left, and the proxy goes on over new ones.
    fn goes_on_while(&self, change: impl FnOnce()) {
        let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let _stop = OnDrop(|| stop.store(true, Ordering::Relaxed));
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // A key of its own each time: one key has a bound on its versions in an hour, and a quick machine meets it.
                    let path = self.host.path(&format!("meanwhile/{}", written.load(Ordering::Relaxed)));
                    self.door.put(&path, &[1; 20_000]).expect(200);
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
            change();
            let so_far = written.load(Ordering::Relaxed);
            until("more writes", secs(20), || (written.load(Ordering::Relaxed) > so_far + 1).then_some(()));
        });
        self.line.cut();
        self.wait_until_connected();
        let path = self.host.path("after");
        self.door.put(&path, b"after").expect(200);
        assert_eq!(self.door.get(&path).expect(200).body, b"after");
    }
}

/// A certificate in PEM up to its last line, without line breaks.
fn bare(pem: &str) -> String {
    pem.trim_end().trim_end_matches("-----END CERTIFICATE-----").split_whitespace().collect()
}

fn write(world: &World, certificate: &Certificate) {
    std::fs::write(cert(world), &certificate.pem).expect("our own directory");
    std::fs::write(key(world), &certificate.key).expect("our own directory");
}

fn authority_file(world: &World, authority: &Authority) -> PathBuf {
    let file = world.path("authority.pem");
    std::fs::write(&file, &authority.pem).expect("our own directory");
    file
}

/// What the server did for anybody since it started.
fn store_operations(world: &World) -> u64 {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--insecure", &format!("https://{}/-/metrics", world.server.address())]);
    let metrics = command::run(curl, secs(20)).ok().stdout;
    let line = metrics.lines().find_map(|line| line.strip_prefix("kheeper_store_operations_total "));
    line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("the server counts them: {metrics}"))
}

#[test]
fn a_certificate_that_is_replaced_on_disk_is_shown_without_a_restart_and_the_proxy_goes_on() {
    let authority = Authority::new("test authority");
    let [first, second, third] = [0; 3].map(|_| authority.issue("127.0.0.1"));
    let mut scene = Scene::start(false, |world| {
        write(world, &first);
        authority_file(world, &authority)
    });
    scene.door.put(&scene.host.path("before"), b"before").expect(200);
    assert_eq!(scene.shown(), bare(&first.pem));
    scene.goes_on_while(|| {
        write(&scene.world, &second);
        scene.wait_until_shown(&second);
    });

    // Half of a change is none: a certificate without its key is named in the log, and the old one stays.
    std::fs::write(cert(&scene.world), &third.pem).expect("our own directory");
    scene.world.server.running().wait_for_line("what is wrong with the files", secs(40), |line| {
        (line.contains("not usable") && line.contains("do not belong together")).then_some(())
    });
    assert_eq!(scene.shown(), bare(&second.pem));
    scene.goes_on_while(|| {
        std::fs::write(key(&scene.world), &third.key).expect("our own directory");
        scene.wait_until_shown(&third);
    });
    assert_eq!(scene.door.get(&scene.host.path("before")).expect(200).body, b"before");
}

#[test]
fn a_servers_own_certificate_that_is_removed_is_made_anew_without_a_restart_and_the_proxy_goes_on() {
    // The server makes its authority when it starts; the proxy starts after it.
    let scene = Scene::start(true, |world| world.server.data.join("tls/ca.pem"));
    scene.door.put(&scene.host.path("before"), b"before").expect(200);
    let (own, ca) = (scene.world.server.data.join("tls/own.pem"), scene.world.server.data.join("tls/ca.pem"));
    let (first, authority) = (scene.shown(), std::fs::read(&ca).expect("the server made it"));
    scene.goes_on_while(|| {
        std::fs::remove_file(&own).expect("the server made it");
        until("another certificate", secs(40), || (scene.shown() != first).then_some(()));
    });
    assert!(own.exists() && std::fs::read(&ca).expect("still there") == authority);
    assert_eq!(scene.door.get(&scene.host.path("before")).expect(200).body, b"before");
}

#[test]
fn a_certificate_that_is_not_to_be_believed_is_a_503_that_the_log_explains_and_no_request_leaves() {
    let (authority, other) = (Authority::new("test authority"), Authority::new("another authority"));
    let good = authority.issue("127.0.0.1");
    let mut scene = Scene::start(false, |world| {
        write(world, &good);
        authority_file(world, &authority)
    });
    let path = scene.host.path("a");
    scene.door.put(&path, b"good").expect(200);
    let bad = [
        ("expired", authority.issue_until("127.0.0.1", 2020), ["expired", "certificate"]),
        ("another name", authority.issue("backup.example.com"), ["not valid for name", "127.0.0.1"]),
        ("another authority", other.issue("127.0.0.1"), ["UnknownIssuer", "certificate"]),
    ];
    for (what, certificate, reasons) in bad {
        assert!(scene.world.server.terminate().success());
        write(&scene.world, &certificate);
        scene.world.server.restart();
        let before = scene.proxy.running().log().len();
        scene.line.record();
        let requests = [
            scene.door.request("GET", &path),
            scene.door.put_request(&path, b"bad"),
            scene.door.request("DELETE", &path),
        ];
        for request in requests {
            let refused = request.send(scene.door.address).expect_error(503, "ServiceUnavailable");
            assert!(refused.text().contains("TLS failed"), "{what}: {refused}");
        }
        assert_eq!(scene.door.head(&path).status, 503, "{what}: nothing is said to be absent");
        let log = scene.proxy.running().log()[before..].to_owned();
        for reason in reasons {
            assert!(log.contains(reason), "{what}: the log does not say {reason:?}: {log}");
        }
        let wire = scene.line.recorded();
        assert!(!wire.is_empty(), "{what}: client hellos");
        for secret in ["Bearer", "eyJ", "uthorization", "web-01"] {
            assert!(
                !wire.windows(secret.len()).any(|seen| seen == secret.as_bytes()),
                "{what}: {secret} was on the wire"
            );
        }
        assert_eq!(store_operations(&scene.world), 0, "{what}: whoever got past the handshake would have been counted");
    }
    assert!(scene.world.server.terminate().success());
    write(&scene.world, &good);
    scene.world.server.restart();
    scene.wait_until_connected();
    assert_eq!(scene.door.get(&path).expect(200).body, b"good", "the proxy goes on without a restart");
}
