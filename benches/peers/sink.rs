//! A stand-in for S3 that costs next to nothing, as a process of its own: takes everything, keeps
//! parts only when asked to, and serves ranges of what it kept from memory.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::part::Part;
use crate::report::Outcome;

/// The first argument that makes this program a sink.
pub(crate) const ARGUMENT: &str = "sink";
const KEEP: &str = "keep";
const READ_BYTES: usize = 1 << 20;

/// A running sink; ends when dropped.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    _part: Part,
}

impl Sink {
    /// Starts one; `keep`: what is stored can be read back.
    pub(crate) fn start(keep: bool) -> Outcome<Self> {
        let part = match keep {
            true => Part::start(&[ARGUMENT, KEEP])?,
            false => Part::start(&[ARGUMENT])?,
        };
        Ok(Self {
            address: part.place.parse()?,
            _part: part,
        })
    }
}

/// What the process that [`Sink::start`] starts does.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let keep = arguments.iter().any(|argument| argument == KEEP);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.spawn(async move {
        if let Err(error) = serve(keep).await {
            let _ = writeln!(std::io::stderr(), "sink: {error}");
        }
    });
    // Until whoever started it is gone.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

async fn serve(keep: bool) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    std::io::stdout().flush()?;
    let objects = Objects::default();
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let kept = keep.then(|| objects.clone());
        connections.spawn(async move {
            // A client that goes away has what it wanted.
            let _ = connection(stream, kept).await;
        });
    }
}

/// Parts by object and number.
type Objects = Arc<Mutex<HashMap<String, Vec<(u32, Bytes)>>>>;

async fn connection(mut stream: TcpStream, kept: Option<Objects>) -> Outcome<()> {
    let mut input = BytesMut::with_capacity(READ_BYTES);
    loop {
        let head = loop {
            if let Some(end) = find(&input, b"\r\n\r\n") {
                break input.split_to(end + 4);
            }
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        };
        let head = Head::parse(std::str::from_utf8(&head)?)?;
        if head.expects {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = body(&mut stream, &mut input, head.length, kept.is_some()).await?;
        answer(&mut stream, &head, body, kept.as_ref()).await?;
    }
}

/// Reads a body to its end; returns it only if it is to be kept.
async fn body(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    length: usize,
    keep: bool,
) -> Outcome<Bytes> {
    if keep {
        input.reserve(length.saturating_sub(input.len()));
        while input.len() < length {
            if stream.read_buf(input).await? == 0 {
                return Err("a body ends early".into());
            }
        }
        return Ok(input.split_to(length).freeze());
    }
    let mut left = length;
    loop {
        let here = left.min(input.len());
        input.advance(here);
        left -= here;
        if left == 0 {
            return Ok(Bytes::new());
        }
        input.clear();
        input.reserve(READ_BYTES);
        if stream.read_buf(input).await? == 0 {
            return Err("a body ends early".into());
        }
    }
}

async fn answer(
    stream: &mut TcpStream,
    head: &Head,
    body: Bytes,
    kept: Option<&Objects>,
) -> Outcome<()> {
    const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    let object = head.path.clone();
    let (status, text) = match head.method.as_str() {
        "PUT" => {
            if let Some(objects) = kept {
                let number = head.query("partNumber").and_then(|n| n.parse().ok());
                let mut objects = objects.lock().unwrap_or_else(PoisonError::into_inner);
                let parts = objects.entry(object).or_default();
                parts.push((number.unwrap_or(1), body));
                parts.sort_by_key(|(number, _)| *number);
            }
            ("200 OK", String::new())
        }
        "POST" if head.query("uploadId").is_none() => (
            "200 OK",
            format!(
                "{XML}<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
            ),
        ),
        "POST" => (
            "200 OK",
            format!(
                "{XML}<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>"
            ),
        ),
        "DELETE" => ("204 No Content", String::new()),
        "GET" | "HEAD" => return send(stream, head, kept).await,
        _ => ("405 Method Not Allowed", String::new()),
    };
    let length = text.len();
    let answer =
        format!("HTTP/1.1 {status}\r\nETag: \"e\"\r\nContent-Length: {length}\r\n\r\n{text}");
    stream.write_all(answer.as_bytes()).await?;
    Ok(())
}

async fn send(stream: &mut TcpStream, head: &Head, kept: Option<&Objects>) -> Outcome<()> {
    let parts = kept.and_then(|objects| {
        let objects = objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.get(&head.path).cloned()
    });
    let Some(parts) = parts else {
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        return Ok(stream.write_all(answer).await?);
    };
    let size: usize = parts.iter().map(|(_, part)| part.len()).sum();
    let (from, to) = head.range.unwrap_or((0, size.saturating_sub(1)));
    let end = (to + 1).min(size);
    let answer = format!(
        "HTTP/1.1 206 Partial Content\r\nETag: \"e\"\r\nContent-Length: {}\r\n\
         Content-Range: bytes {from}-{}/{size}\r\n\r\n",
        end - from,
        end - 1
    );
    stream.write_all(answer.as_bytes()).await?;
    if head.method == "HEAD" {
        return Ok(());
    }
    let mut start = 0;
    for (_, part) in parts {
        let (low, high) = (from.max(start), end.min(start + part.len()));
        if low < high {
            stream
                .write_all(&part.slice(low - start..high - start))
                .await?;
        }
        start += part.len();
    }
    Ok(())
}

/// The head of a request, as far as it matters here.
struct Head {
    method: String,
    path: String,
    query: String,
    length: usize,
    expects: bool,
    range: Option<(usize, usize)>,
}

impl Head {
    fn parse(text: &str) -> Outcome<Self> {
        let mut lines = text.lines();
        let mut first = lines.next().unwrap_or_default().split(' ');
        let method = first.next().unwrap_or_default().to_owned();
        let target = first.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut head = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            length: 0,
            expects: false,
            range: None,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse()?,
                "expect" => head.expects = true,
                "range" => {
                    let range = value.strip_prefix("bytes=").unwrap_or_default();
                    let (from, to) = range.split_once('-').ok_or("an odd range")?;
                    head.range = Some((from.parse()?, to.parse()?));
                }
                _ => {}
            }
        }
        Ok(head)
    }

    fn query(&self, name: &str) -> Option<&str> {
        let mut pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
