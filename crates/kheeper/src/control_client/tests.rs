//! What the client makes of servers that answer badly, or not at all.

use kheeper_identity::{IdentitySubject, MachineId};
use kheeper_model::UserId;
use kheeper_model::api::OrgRecord;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that answers one connection with these bytes, and the origin it has.
async fn server(answer: String) -> Origin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(socket.read_u8().await.unwrap());
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
    });
    origin
}

fn http(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn problem(status: u16, kind: &str) -> String {
    format!(r#"{{"type":"{kind}","title":"T","status":{status},"detail":"it is so"}}"#)
}

async fn ask(origin: Origin) -> Result<Answer<Vec<OrgRecord>>, ControlError> {
    let key = PrivateKey::generate().unwrap();
    let identity = Identity {
        origin,
        subject: IdentitySubject::User { user_id: UserId::random() },
        key_id: key.public_key().key_id(),
        pin: None,
        machine_id: MachineId::of_this_machine(),
    };
    let client = ControlClient::with_identity(&identity, Arc::new(key), &GlobalArgs::default()).unwrap();
    client.get("/orgs").await
}

#[tokio::test]
async fn an_answer_comes_with_the_servers_time() {
    let origin = server(http(200, "date: Sun, 22 Nov 2026 18:00:00 GMT\r\n", "[]")).await;
    let answer = ask(origin).await.unwrap();
    assert_eq!(answer.value, []);
    assert_eq!(answer.server_time.to_string(), "2026-11-22T18:00:00.000Z");
}

#[tokio::test]
async fn a_problem_is_told_in_the_servers_words() {
    let origin = server(http(409, "", &problem(409, "name-taken"))).await;
    let error = ask(origin).await.unwrap_err();
    assert_eq!(error.to_string(), "it is so");
    assert_eq!(error.exit_code(), ExitCode::Conflict);
}

#[tokio::test]
async fn a_refusal_that_the_clocks_explain_names_the_clocks() {
    let headers = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let error = ask(server(http(403, headers, &problem(403, "access-denied"))).await).await.unwrap_err();
    assert!(matches!(error, ControlError::ClockOff { ahead: true, .. }), "{error}");
    let error = ask(server(http(404, headers, &problem(404, "no-such-org"))).await).await.unwrap_err();
    assert!(matches!(error, ControlError::Refused { .. }), "a clock explains no 404: {error}");
}

#[tokio::test]
async fn another_server_at_the_address_is_noticed() {
    for answer in [
        http(200, "", "<html>welcome</html>"),
        http(404, "", "not found"),
        "\u{15}\u{3}\u{3}\u{0}\u{2}\u{2}F".to_owned(),
    ] {
        let error = ask(server(answer).await).await.unwrap_err();
        assert!(matches!(error, ControlError::NotKheeper { .. }), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Untrusted);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_hangs_up_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = ask(free.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ControlError::Unreachable { .. }), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unavailable);
    let error = ask(server(String::new()).await).await.unwrap_err();
    assert!(matches!(error, ControlError::NoAnswer { changes: false, .. }), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unavailable);
}

#[tokio::test]
async fn tokens_do_not_travel_in_the_clear_unless_told() {
    let origin: Origin = "http://192.0.2.1:9000".parse().unwrap();
    let mut global = GlobalArgs::default();
    let error = ControlClient::anonymous(origin.clone(), &ServerTrust::System, &global).err().unwrap();
    assert!(error.to_string().contains("--allow-plain-http"), "{error}");
    global.allow_plain_http = true;
    assert!(ControlClient::anonymous(origin, &ServerTrust::System, &global).is_ok());
}
