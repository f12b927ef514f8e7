//! A front before the registry that can misbehave: what it does to a question is decided by whoever starts it.

use crate::http::{ask, header};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a front holds a connection that it does not answer: longer than anybody waits.
const HOLD: Duration = Duration::from_secs(20);

/// How large an endless answer is: more than anybody should read.
const ENDLESS_BYTES: usize = 100 << 20;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub authorization: Option<String>,
    /// What was posted.
    pub form: String,
    /// How often this path was asked for before.
    pub before: usize,
}

/// What becomes of a question.
pub enum Answer {
    /// The registry's own answer.
    Honest,
    Status(u16, Vec<(&'static str, String)>),
    Body(&'static str, Vec<u8>),
    /// No answer, and no end.
    Silence,
    /// The connection ends.
    Reset,
    /// These bytes, whatever they are, and the end.
    Raw(Vec<u8>),
    /// This, and then the other again and again, up to 100 MiB.
    Stream(&'static str, Vec<u8>),
    /// One byte after the other, slowly.
    Drip,
}

impl Answer {
    /// A body that says nothing of its length.
    pub fn endless() -> Self {
        Self::Stream("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", vec![b' '; 64 << 10])
    }

    /// A body in chunks.
    pub fn endless_chunks() -> Self {
        let chunk = [b"10000\r\n", &vec![b' '; 64 << 10][..], b"\r\n"].concat();
        Self::Stream("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk)
    }

    /// Headers without an end.
    pub fn endless_head() -> Self {
        let header = format!("X-More: {}\r\n", "a".repeat(32 << 10));
        Self::Stream("HTTP/1.1 200 OK\r\n", header.into_bytes())
    }
}

type Behaviour = dyn Fn(&Asked) -> Answer + Send + Sync;

pub struct Front {
    pub host: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Front {
    /// A front before a registry. It listens as long as the process lives.
    pub fn start(
        registry: &str,
        behaviour: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (registry, seen) = (registry.to_owned(), Arc::clone(&asked));
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (registry, seen) = (registry.clone(), Arc::clone(&seen));
                let behaviour = Arc::clone(&behaviour);
                thread::spawn(move || answer(stream, &registry, &seen, &*behaviour));
            }
        });
        Self { host, asked }
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    registry: &str,
    seen: &Mutex<Vec<Asked>>,
    behaviour: &Behaviour,
) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    let length = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut form = vec![0; length];
    stream.read_exact(&mut form).ok()?;
    let form = String::from_utf8(form).ok()?;
    let asked = {
        let mut seen = seen.lock().unwrap();
        let before = seen.iter().filter(|asked| asked.path == path).count();
        let authorization = header(&head, "authorization").map(str::to_owned);
        let asked = Asked { path, authorization, form, before };
        seen.push(asked.clone());
        asked
    };
    match behaviour(&asked) {
        Answer::Honest => {
            let accept = header(&head, "accept").unwrap_or("*/*");
            let honest = ask(registry, "GET", &asked.path, &[("Accept", accept)], b"");
            let kind = header(&honest.head, "content-type").unwrap_or("text/plain").to_owned();
            respond(&mut stream, honest.status, &[("Content-Type", kind)], &honest.body)
        }
        Answer::Status(status, headers) => respond(&mut stream, status, &headers, b"{}"),
        Answer::Body(kind, body) => {
            respond(&mut stream, 200, &[("Content-Type", kind.to_owned())], &body)
        }
        Answer::Silence => {
            thread::sleep(HOLD);
            None
        }
        Answer::Reset => None,
        Answer::Raw(bytes) => stream.write_all(&bytes).ok(),
        Answer::Stream(head, more) => {
            stream.write_all(head.as_bytes()).ok()?;
            (0..ENDLESS_BYTES / more.len()).try_for_each(|_| stream.write_all(&more).ok())
        }
        Answer::Drip => {
            let started = Instant::now();
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").ok()?;
            while started.elapsed() < HOLD {
                stream.write_all(b" ").ok()?;
                thread::sleep(Duration::from_millis(100));
            }
            None
        }
    }
}

fn respond(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(&str, String)],
    body: &[u8],
) -> Option<()> {
    let mut head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.extend(["Content-Length: ", &body.len().to_string(), "\r\n\r\n"]);
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}
