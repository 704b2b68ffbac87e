//! An FTP client that is one of thousands: it keeps little, and waits without a thread.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::report::Outcome;
use crate::support::ftp_raw::trusting;

/// Sessions of TLS that one client remembers.
const REMEMBERED: usize = 4;
const LINE_BYTES: usize = 512;

pub(crate) trait Pipe: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Pipe for S {}

/// Who logs in.
pub(crate) enum Login {
    /// With a certificate, and without a word more.
    Certificate(CertificateDer<'static>, PrivateKeyDer<'static>),
    Password(String),
}

/// A control connection of somebody who has logged in; data is sealed if it is.
pub(crate) struct FtpLine {
    stream: BufReader<Box<dyn Pipe>>,
    peer: IpAddr,
    tls: Option<TlsConnector>,
}

impl FtpLine {
    /// Connects in the clear and logs in.
    pub(crate) async fn clear(address: SocketAddr, user: &str, password: &str) -> Outcome<Self> {
        let stream = Box::new(connect(address).await?);
        let mut line = Self {
            stream: BufReader::with_capacity(LINE_BYTES, stream),
            peer: address.ip(),
            tls: None,
        };
        line.expect("", 220).await?;
        line.log_in(user, &Login::Password(password.to_owned()))
            .await?;
        Ok(line)
    }

    /// Connects to a port that begins with TLS and logs in.
    pub(crate) async fn sealed(address: SocketAddr, user: &str, login: &Login) -> Outcome<Self> {
        let config = trusting(&[&rustls::version::TLS13]);
        let mut config: ClientConfig = match login {
            Login::Certificate(certificate, key) => {
                config.with_client_auth_cert(vec![certificate.clone()], key.clone_key())?
            }
            Login::Password(_) => config.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(REMEMBERED);
        let tls = TlsConnector::from(Arc::new(config));
        let stream = wrap(&tls, connect(address).await?).await?;
        let mut line = Self {
            stream: BufReader::with_capacity(LINE_BYTES, stream),
            peer: address.ip(),
            tls: Some(tls),
        };
        line.expect("", 220).await?;
        line.log_in(user, login).await?;
        line.expect("PBSZ 0\r\n", 200).await?;
        line.expect("PROT P\r\n", 200).await?;
        Ok(line)
    }

    async fn log_in(&mut self, user: &str, login: &Login) -> Outcome<()> {
        let user = format!("USER {user}\r\n");
        match login {
            Login::Certificate(..) => drop(self.expect(&user, 232).await?),
            Login::Password(password) => {
                self.expect(&user, 331).await?;
                self.expect(&format!("PASS {password}\r\n"), 230).await?;
            }
        }
        self.expect("TYPE I\r\n", 200).await?;
        Ok(())
    }

    /// Sends a command, if it is one, and reads its reply, which must have this code.
    pub(crate) async fn expect(&mut self, line: &str, code: u16) -> Outcome<String> {
        self.stream.write_all(line.as_bytes()).await?;
        self.stream.flush().await?;
        let reply = self.reply().await?;
        match reply.starts_with(&format!("{code} ")) {
            true => Ok(reply),
            false => Err(format!("{}: {reply}", line.trim_end()).into()),
        }
    }

    /// The last line of a reply.
    async fn reply(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) == Some(&b' ') && line.as_bytes().first() != Some(&b' ') {
                return Ok(line);
            }
        }
    }

    /// A data connection for a command.
    pub(crate) async fn begin(&mut self, line: &str) -> Outcome<Box<dyn Pipe>> {
        let told = self.expect("EPSV\r\n", 229).await?;
        let port = told.split('|').nth(3).ok_or("no port")?.parse()?;
        let stream = connect(SocketAddr::new(self.peer, port)).await?;
        self.expect(&format!("{line}\r\n"), 150).await?;
        match &self.tls {
            Some(tls) => Ok(wrap(tls, stream).await?),
            None => Ok(Box::new(stream)),
        }
    }

    /// Reads all that a command brings; how many bytes, and how many seconds passed before the first.
    pub(crate) async fn fetch(&mut self, line: &str) -> Outcome<(usize, f64)> {
        let started = tokio::time::Instant::now();
        let mut data = self.begin(line).await?;
        let mut block = vec![0; 65_536];
        let (mut length, mut first) = (0, None);
        loop {
            match data.read(&mut block).await? {
                0 => break,
                more => length += more,
            }
            first.get_or_insert(started.elapsed().as_secs_f64());
        }
        let _ = data.shutdown().await;
        drop(data);
        self.expect("", 226).await?;
        Ok((length, first.unwrap_or(f64::NAN)))
    }
}

async fn wrap(tls: &TlsConnector, stream: TcpStream) -> io::Result<Box<dyn Pipe>> {
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let stream = tls.connect(name, stream).await?;
    Ok(Box::new(stream))
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpSocket::new_v4()?.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
