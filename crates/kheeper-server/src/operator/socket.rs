//! `DATA/admin.sock`: a request line in, a reply line out, as often as the command has something to ask.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::perform::Performer;
use super::{Reply, Request};

/// Bytes of a request line.
const REQUEST_BYTES_MAX: u64 = 16 * 1024;
/// From accept, or from a reply, to a whole request line.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// The socket's name in the data directory.
pub(super) const FILE_NAME: &str = "admin.sock";

/// Binds the socket and serves operators in the background. The caller must hold the data directory's lock: a socket
/// file that is there belongs to a server that is gone, and is replaced.
pub(crate) fn listen(data_dir: &Path, performer: Arc<Performer>) -> anyhow::Result<()> {
    let path = data_dir.join(FILE_NAME);
    let bind = || -> std::io::Result<(UnixListener, u32)> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        // Between bind and this call the file may be connectable by others: the peer's uid is what counts.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok((listener, std::fs::metadata(&path)?.uid()))
    };
    let (listener, owner) = bind().with_context(|| format!("failed to listen on {}", path.display()))?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(serve(stream, owner, Arc::clone(&performer)));
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept an operator's connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
    Ok(())
}

async fn serve(stream: UnixStream, owner: u32, performer: Arc<Performer>) {
    let peer = match stream.peer_cred() {
        Ok(peer) => peer.uid(),
        Err(error) => {
            tracing::warn!(%error, "an operator's connection has no peer credentials and was closed");
            return;
        }
    };
    if peer != 0 && peer != owner {
        tracing::warn!(uid = peer, "a user who does not own the data directory tried the operator's socket");
        return;
    }
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader.take(0));
    loop {
        let mut line = String::new();
        reader.get_mut().set_limit(REQUEST_BYTES_MAX);
        match tokio::time::timeout(REQUEST_DEADLINE, reader.read_line(&mut line)).await {
            Ok(Ok(0)) => return,
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return tracing::debug!(%error, "failed to read an operator's request"),
            Err(_) => return tracing::debug!("an operator's request did not come"),
        }
        let reply = match serde_json::from_str::<Request>(&line) {
            Ok(request) => performer.perform(request).await,
            Err(error) => Reply::Failed(format!(
                "the server did not understand the request ({error}); are the command and the server of one version?"
            )),
        };
        let sent = match serde_json::to_vec(&reply) {
            Ok(mut bytes) => {
                bytes.push(b'\n');
                writer.write_all(&bytes).await
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = sent {
            return tracing::debug!(%error, "failed to answer an operator");
        }
    }
}
