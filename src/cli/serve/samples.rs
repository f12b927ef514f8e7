//! Sample requests, sent to the server over HTTPS as the API server would, and what came of them as a table.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use comfy_table::{ContentArrangement, Table, presets};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value as Json;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

use crate::cli::files;

/// How long to wait until the server is ready.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// How often to ask whether it is.
const READY_INTERVAL: Duration = Duration::from_millis(20);

/// Sends every sample of a folder and prints the decisions. What goes wrong is logged: serving goes on.
pub async fn show(
    address: SocketAddr,
    authority: &str,
    folder: &Path,
    authority_file: Option<&Path>,
) {
    match review(address, authority, folder).await {
        Ok((table, denied)) => {
            println!("{table}");
            if let Some(file) = denied {
                let trust = authority_file.map_or_else(
                    || "--insecure".to_owned(),
                    |path| format!("--cacert {}", path.display()),
                );
                println!(
                    "Try it: curl {trust} -H 'Content-Type: application/json' --data-binary @{} \
                     https://{address}/validate\n",
                    file.display()
                );
            }
        }
        Err(error) => tracing::error!("the samples were not reviewed: {error}"),
    }
}

/// The table, and a sample that is denied, to try again.
async fn review(
    address: SocketAddr,
    authority: &str,
    folder: &Path,
) -> Result<(String, Option<PathBuf>), String> {
    let client = Client::new(address, authority)?;
    client.ready().await?;
    let samples = files::manifests(&[folder.to_owned()]).map_err(|error| error.to_string())?;
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["SAMPLE", "DECISION", "WHY"]);
    if !table.is_tty() {
        table.set_width(120);
    }
    let mut denied = None;
    for sample in &samples {
        let body = files::text(sample).map_err(|error| error.to_string())?;
        let mutation = client.post("/mutate", &body).await?;
        let verdict = client.post("/validate", &patched(&body, &mutation)?).await?;
        let name = sample.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (decision, why) = decided(&mutation, &verdict);
        if decision == "denied" {
            denied.get_or_insert_with(|| sample.clone());
        }
        table.add_row([name, decision.to_owned(), why]);
    }
    Ok((table.trim_fmt(), denied))
}

/// The review with the object as the patch leaves it, as the API server would send it on.
fn patched(body: &str, mutation: &Json) -> Result<String, String> {
    let Some(operations) = operations(mutation) else { return Ok(body.to_owned()) };
    let mut review: Json = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let patch: crate::json::patch::Patch =
        serde_json::from_value(operations).map_err(|error| error.to_string())?;
    let object = review.pointer_mut("/request/object").ok_or("the sample has no object")?;
    crate::json::patch::apply(object, &patch).map_err(|error| error.to_string())?;
    Ok(review.to_string())
}

/// The operations of the patch of an answer.
fn operations(answer: &Json) -> Option<Json> {
    let encoded = answer.pointer("/response/patch")?.as_str()?;
    serde_json::from_slice(&BASE64.decode(encoded).ok()?).ok()
}

/// The decision in a word, and what explains it.
fn decided(mutation: &Json, verdict: &Json) -> (&'static str, String) {
    let text = |pointer: &str| verdict.pointer(pointer).and_then(Json::as_str).unwrap_or("");
    if verdict.pointer("/response/allowed") != Some(&Json::Bool(true)) {
        return ("denied", text("/response/status/message").to_owned());
    }
    if let Some(operations) = operations(mutation) {
        let mut why = String::new();
        for operation in operations.as_array().into_iter().flatten() {
            let field = |name: &str| operation[name].as_str().unwrap_or("");
            // Writing to a String does not fail.
            let _ = writeln!(why, "{} {} {}", field("op"), field("path"), operation["value"]);
        }
        return ("patched", why.trim_end().to_owned());
    }
    let warnings = verdict.pointer("/response/warnings").and_then(Json::as_array);
    let warnings: Vec<_> = warnings.into_iter().flatten().filter_map(Json::as_str).collect();
    ("admitted", warnings.join("\n"))
}

/// A client that trusts the server's authority and nobody else.
struct Client {
    address: SocketAddr,
    connector: TlsConnector,
}

impl Client {
    fn new(address: SocketAddr, authority: &str) -> Result<Client, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Client { address, connector: TlsConnector::from(Arc::new(config)) })
    }

    async fn ready(&self) -> Result<(), String> {
        let since = Instant::now();
        loop {
            match self.send(Method::GET, "/readyz", String::new()).await {
                Ok((200, _)) => return Ok(()),
                Ok((status, text)) if since.elapsed() > READY_PATIENCE => {
                    return Err(format!("the server is not ready: {status} {text}"));
                }
                Err(error) if since.elapsed() > READY_PATIENCE => return Err(error),
                _ => sleep(READY_INTERVAL).await,
            }
        }
    }

    async fn post(&self, path: &str, body: &str) -> Result<Json, String> {
        let (status, text) = self.send(Method::POST, path, body.to_owned()).await?;
        match status {
            200 => serde_json::from_str(&text).map_err(|error| error.to_string()),
            _ => Err(format!("{path}: {status} {text}")),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(u16, String), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let stream = TcpStream::connect(self.address).await.map_err(|error| text(&error))?;
        let name = ServerName::from(self.address.ip());
        let stream = self.connector.connect(name, stream).await.map_err(|error| text(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| text(&error))?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| text(&error))?;
        let response = sender.send_request(request).await.map_err(|error| text(&error))?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|error| text(&error))?;
        connection.abort();
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    }
}
