//! An HTTP/1.1 client over TLS that is one of hundreds: it keeps little, and looks at every answer.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::report::Outcome;
use crate::support::ftp_raw::trusting;

const READ_BYTES: usize = 64 << 10;

/// A connection that logs in with each request.
pub(crate) struct WebLine {
    stream: BufReader<TlsStream<TcpStream>>,
    authorization: String,
}

/// An answer whose body was read and thrown away.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// As it came, without its end.
    head: String,
    /// Bytes of the body.
    pub(crate) length: u64,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then_some(value.trim())
        })
    }
}

impl WebLine {
    /// Connects by TLS 1.3 for an account.
    pub(crate) async fn open(address: SocketAddr, user: &str, password: &str) -> Outcome<Self> {
        let config = trusting(&[&rustls::version::TLS13]).with_no_client_auth();
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let tls = TlsConnector::from(Arc::new(config));
        let login = format!("{user}:{password}");
        let login = data_encoding::BASE64.encode(login.as_bytes());
        Ok(Self {
            stream: BufReader::with_capacity(READ_BYTES, tls.connect(name, socket).await?),
            authorization: format!("Basic {login}"),
        })
    }

    /// Sends a request whose body is there, and reads the answer, which must be a success.
    pub(crate) async fn ask(
        &mut self,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Outcome<Answer> {
        self.begin(line, headers, body.len()).await?;
        self.send(body).await?;
        self.answer(line).await
    }

    /// Sends the head of a request with a body of so many bytes; what is asked for is like `GET /path`.
    pub(crate) async fn begin(
        &mut self,
        line: &str,
        headers: &[(&str, &str)],
        length: usize,
    ) -> Outcome<()> {
        let mut head = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n",
            self.authorization
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if length > 0 || !line.starts_with("GET ") {
            head += &format!("Content-Length: {length}\r\n");
        }
        self.send((head + "\r\n").as_bytes()).await
    }

    /// Sends bytes of a body.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads the answer to what was sent, which must be a success.
    pub(crate) async fn answer(&mut self, line: &str) -> Outcome<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await? == 0 {
                return Err(format!("{line}: no answer: {head}").into());
            }
        }
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut answer = Answer {
            status: status.ok_or_else(|| format!("{line}: {head}"))?,
            head,
            length: 0,
        };
        answer.length = match answer.header("transfer-encoding") {
            Some("chunked") => self.chunks().await?,
            _ => {
                let length = answer.header("content-length").unwrap_or("0").parse()?;
                self.skip(length).await?;
                length
            }
        };
        match answer.status {
            200..300 => Ok(answer),
            _ => Err(format!("{line}: {answer:?}").into()),
        }
    }

    async fn chunks(&mut self) -> Outcome<u64> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            let chunk = u64::from_str_radix(line.trim_end(), 16)?;
            // Each one ends with an end of line, the last one too.
            self.skip(chunk + 2).await?;
            length += chunk;
            if chunk == 0 {
                return Ok(length);
            }
        }
    }

    async fn skip(&mut self, length: u64) -> Outcome<()> {
        let mut body = (&mut self.stream).take(length);
        let copied = tokio::io::copy_buf(&mut body, &mut tokio::io::sink()).await?;
        match copied == length {
            true => Ok(()),
            false => Err(format!("the body ended after {copied} of {length} bytes").into()),
        }
    }
}
