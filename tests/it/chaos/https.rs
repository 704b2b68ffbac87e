//! Workers that come by HTTPS: one connection, kept open from request to request.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

use crate::chaos::doors::{Client, Told, Trouble};
use crate::chaos::writes::Content;
use crate::support::ftp_raw::{Stream, trusting};
use crate::support::https_door::Answer;
use crate::support::two::SECRET;

pub(crate) struct Https {
    stream: BufReader<Stream>,
    authorization: String,
}

impl Https {
    pub(crate) fn connect(address: SocketAddr, login: &str, patience: Duration) -> Told<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))?;
        let config = trusting(&[&TLS12, &TLS13]).with_no_client_auth();
        let stream = Stream::wrap(socket, &Arc::new(config))?;
        let user = BASE64.encode(format!("{login}:{SECRET}").as_bytes());
        Ok(Self {
            stream: BufReader::new(stream),
            authorization: format!("Basic {user}"),
        })
    }

    /// Whether the server says that it is ready.
    pub(crate) fn is_ready(&mut self) -> bool {
        let ready = self.ask("GET", "/readyz", &[], b"");
        ready.is_ok_and(|answer| answer.status == 200)
    }

    /// Makes a folder, unless it is there.
    pub(crate) fn make_folder(&mut self, path: &str) -> Told<()> {
        let answer = self.ask("POST", &format!("/api/v1/folders{path}"), &[], b"")?;
        expect(&answer, &[201, 409])
    }

    /// Puts a copy of a file in a place.
    pub(crate) fn copy(&mut self, from: &str, to: &str) -> Told<()> {
        self.place("/api/v1/copy", from, to)
    }

    /// Begins to store a file, and breaks off.
    pub(crate) fn break_off(mut self, path: &str, length: usize, bytes: &[u8]) -> Told<()> {
        let head = self.head("PUT", &format!("/api/v1/files{path}"), &[], length);
        let to = self.stream.get_mut();
        to.write_all(head.as_bytes())?;
        to.write_all(bytes)?;
        Ok(to.flush()?)
    }

    fn place(&mut self, target: &str, from: &str, to: &str) -> Told<()> {
        let body = json!({ "from": from, "to": to, "overwrite": true }).to_string();
        let json = [("Content-Type", "application/json")];
        let answer = self.ask("POST", target, &json, body.as_bytes())?;
        expect(&answer, &[200, 201, 204])
    }

    /// Begins an upload by tus; says where.
    pub(crate) fn begin(&mut self, path: &str, length: usize) -> Told<String> {
        let metadata = format!("path {}", BASE64.encode(path.as_bytes()));
        let headers = [
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Length", &length.to_string()),
            ("Upload-Metadata", &metadata),
        ];
        let answer = self.ask("POST", "/api/v1/uploads", &headers, b"")?;
        expect(&answer, &[201])?;
        Ok(answer.header("location").unwrap().to_owned())
    }

    /// How far an upload is.
    pub(crate) fn offset(&mut self, at: &str) -> Told<usize> {
        let answer = self.ask("HEAD", at, &[("Tus-Resumable", "1.0.0")], b"")?;
        expect(&answer, &[200])?;
        Ok(answer.header("upload-offset").unwrap().parse().unwrap())
    }

    /// Sends a piece.
    pub(crate) fn patch(&mut self, at: &str, offset: usize, piece: &[u8]) -> Told<()> {
        let headers = [
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Offset", &offset.to_string()),
            ("Content-Type", "application/offset+octet-stream"),
        ];
        let answer = self.ask("PATCH", at, &headers, piece)?;
        expect(&answer, &[204])
    }

    fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Told<Answer> {
        let head = self.head(method, target, headers, body.len());
        let to = self.stream.get_mut();
        let sent = to.write_all(head.as_bytes());
        let sent = sent.and_then(|()| to.write_all(body));
        let sent = sent.and_then(|()| to.flush());
        // Whoever refuses says so, and hangs up.
        match self.answer(method) {
            Ok(answer) => Ok(answer),
            Err(error) => {
                sent?;
                Err(error)
            }
        }
    }

    fn head(&self, method: &str, target: &str, headers: &[(&str, &str)], length: usize) -> String {
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Length: {length}\r\n",
            self.authorization,
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    }

    fn answer(&mut self, method: &str) -> Told<Answer> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|word| word.parse().ok());
        let mut answer = Answer {
            status: status.unwrap(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            let header = (name.to_ascii_lowercase(), value.trim().to_owned());
            answer.headers.push(header);
        }
        if method == "HEAD" || answer.status == 204 {
            return Ok(answer);
        }
        match answer.header("content-length").map(str::parse) {
            Some(length) => {
                answer.body = vec![0; length.unwrap()];
                self.stream.read_exact(&mut answer.body)?;
            }
            None => self.chunks(&mut answer.body)?,
        }
        Ok(answer)
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Told<()> {
        loop {
            let length = usize::from_str_radix(&self.line()?, 16).unwrap();
            let start = body.len();
            body.resize(start + length, 0);
            self.stream.read_exact(&mut body[start..])?;
            self.line()?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> Told<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(Trouble::Silent("the connection has ended".to_owned())),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

impl Client for Https {
    fn put(&mut self, path: &str, bytes: &[u8]) -> Told<()> {
        let answer = self.ask("PUT", &format!("/api/v1/files{path}"), &[], bytes)?;
        expect(&answer, &[200, 201])
    }

    fn read(&mut self, path: &str) -> Told<Content> {
        let answer = self.ask("GET", &format!("/api/v1/files{path}"), &[], b"")?;
        match expect(&answer, &[200]) {
            Ok(()) => Ok(Some(Arc::new(answer.body))),
            Err(Trouble::Missing(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Told<()> {
        self.place("/api/v1/move", from, to)
    }

    fn delete(&mut self, path: &str) -> Told<()> {
        let answer = self.ask("DELETE", &format!("/api/v1/entries{path}"), &[], b"")?;
        expect(&answer, &[200, 204])
    }

    fn list(&mut self, folder: &str) -> Told<BTreeMap<String, u64>> {
        let answer = self.ask("GET", &format!("/api/v1/folders{folder}"), &[], b"")?;
        expect(&answer, &[200])?;
        let page = answer.json();
        assert_eq!(page["next"], Value::Null);
        let items = page["items"].as_array().unwrap().iter();
        let files = items.filter(|item| item["kind"] == "file");
        let entry = |item: &Value| {
            let name = item["name"].as_str().unwrap().to_owned();
            (name, item["size"].as_u64().unwrap())
        };
        Ok(files.map(entry).collect())
    }
}

fn expect(answer: &Answer, good: &[u16]) -> Told<()> {
    if good.contains(&answer.status) {
        return Ok(());
    }
    let told = format!("HTTP {}: {}", answer.status, answer.text());
    Err(match answer.status {
        404 => Trouble::Missing(told),
        408 | 409 | 423 | 429 | 502 | 503 => Trouble::Refused(told),
        _ => Trouble::Wrong(told),
    })
}
