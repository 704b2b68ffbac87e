//! A small FTP client that sends what it is told, byte by byte, and knows no better.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, DigitallySignedStruct, HandshakeKind,
    SignatureScheme, StreamOwned,
};
use socket2::SockRef;

/// A server that says nothing for so long has hung.
const PATIENCE: Duration = Duration::from_secs(12);

/// A reply: its code and its whole text.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) text: String,
}

/// What became of a command with a data connection.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The codes of all its replies, in order.
    pub(crate) codes: Vec<u16>,
    pub(crate) data: Vec<u8>,
    /// Whether the sender of the data ended it in good order: with close_notify if there is TLS.
    pub(crate) clean: bool,
    /// Whether the data connection resumed a session of TLS.
    pub(crate) resumed: bool,
}

/// How data connections come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataMode {
    Eprt,
    Epsv,
    Pasv,
    Port,
}

/// One control connection.
pub(crate) struct FtpRaw {
    stream: Stream,
    buffer: Vec<u8>,
    peer: SocketAddr,
    tls: Arc<ClientConfig>,
    patience: Duration,
    pub(crate) mode: DataMode,
    /// Whether data connections speak TLS.
    pub(crate) protect: bool,
}

impl FtpRaw {
    /// Connects and reads the greeting.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<(Self, Reply)> {
        Self::connect_with(address, PATIENCE)
    }

    /// The same for who waits no longer than that for anything.
    pub(crate) fn connect_with(
        address: SocketAddr,
        patience: Duration,
    ) -> io::Result<(Self, Reply)> {
        let socket = TcpStream::connect(address)?;
        prepare(&socket, patience)?;
        let mut client = Self {
            stream: Stream::Plain(socket),
            buffer: Vec::new(),
            peer: address,
            tls: Arc::new(tls_config(&[
                &rustls::version::TLS12,
                &rustls::version::TLS13,
            ])),
            patience,
            mode: DataMode::Epsv,
            protect: false,
        };
        let greeting = client.reply()?;
        Ok((client, greeting))
    }

    /// Connects with these versions of TLS to a port that expects it from the first byte.
    pub(crate) fn connect_implicit_with(
        address: SocketAddr,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> io::Result<(Self, Reply)> {
        let socket = TcpStream::connect(address)?;
        prepare(&socket, PATIENCE)?;
        let tls = Arc::new(tls_config(versions));
        let mut client = Self {
            stream: Stream::wrap(socket, &tls)?,
            buffer: Vec::new(),
            peer: address,
            tls,
            patience: PATIENCE,
            mode: DataMode::Epsv,
            protect: true,
        };
        let greeting = client.reply()?;
        Ok((client, greeting))
    }

    /// Speaks only these versions of TLS from now on, with a memory of sessions of its own.
    pub(crate) fn versions(&mut self, versions: &[&'static rustls::SupportedProtocolVersion]) {
        self.tls = Arc::new(tls_config(versions));
    }

    /// Shares another client's memory of TLS sessions.
    pub(crate) fn share_sessions(&mut self, with: &Self) {
        self.tls = Arc::clone(&with.tls);
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends a line and reads one reply.
    pub(crate) fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Logs in; panics unless the server lets it.
    #[track_caller]
    pub(crate) fn login(&mut self, user: &str, password: &str) {
        let asked = self.command(&format!("USER {user}")).unwrap();
        assert_eq!(asked.code, 331, "{asked:?}");
        let answer = self.command(&format!("PASS {password}")).unwrap();
        assert_eq!(answer.code, 230, "{answer:?}");
    }

    /// Reads one reply, of as many lines as it has.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some((reply, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return Ok(reply);
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut block = [0; 4096];
            match self.stream.read(&mut block)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.buffer.extend_from_slice(&block[..length]),
            }
        }
    }

    /// Whether a reply comes within a time.
    pub(crate) fn reply_within(&mut self, time: Duration) -> Option<io::Result<Reply>> {
        if parse(&self.buffer).is_none() {
            self.stream.socket().set_read_timeout(Some(time)).unwrap();
            let mut block = [0; 4096];
            let read = self.stream.read(&mut block);
            self.stream
                .socket()
                .set_read_timeout(Some(self.patience))
                .unwrap();
            match read {
                Ok(length) => self.buffer.extend_from_slice(&block[..length]),
                Err(error) if is_timeout(&error) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        Some(self.reply())
    }

    /// `AUTH TLS` and the handshake; returns the reply.
    pub(crate) fn auth_tls(&mut self) -> io::Result<Reply> {
        let reply = self.command("AUTH TLS")?;
        if reply.code == 234 {
            self.upgrade()?;
        }
        Ok(reply)
    }

    /// The handshake alone.
    pub(crate) fn upgrade(&mut self) -> io::Result<()> {
        self.buffer.clear();
        let socket = self.stream.socket().try_clone()?;
        self.stream = Stream::wrap(socket, &self.tls)?;
        Ok(())
    }

    /// AUTH TLS, PBSZ and PROT P; panics unless all is granted.
    #[track_caller]
    pub(crate) fn secure(&mut self) {
        assert_eq!(self.auth_tls().unwrap().code, 234);
        assert_eq!(self.command("PBSZ 0").unwrap().code, 200);
        assert_eq!(self.command("PROT P").unwrap().code, 200);
        self.protect = true;
    }

    /// Ends TLS on the control connection and goes on in clear, as after CCC.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        let socket = self.stream.socket().try_clone()?;
        self.stream.close()?;
        // The server's end of TLS comes too, before anything in clear.
        let _ = self.stream.read(&mut [0]);
        self.stream = Stream::Plain(socket);
        Ok(())
    }

    /// The socket, for what only sockets can do.
    pub(crate) fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }

    /// Sends a command that uploads `content` if the server agrees.
    pub(crate) fn upload(&mut self, line: &str, content: &[u8]) -> io::Result<Transfer> {
        self.transfer(line, Some(content))
    }

    /// Sends a command that downloads.
    pub(crate) fn download(&mut self, line: &str) -> io::Result<Transfer> {
        self.transfer(line, None)
    }

    fn transfer(&mut self, line: &str, upload: Option<&[u8]>) -> io::Result<Transfer> {
        let mut done = Transfer {
            codes: Vec::new(),
            data: Vec::new(),
            clean: true,
            resumed: false,
        };
        let Some(data) = self.prepare_data(&mut done.codes)? else {
            return Ok(done);
        };
        let first = self.command(line)?.code;
        done.codes.push(first);
        if !(100..200).contains(&first) {
            return Ok(done);
        }
        let mut stream = self.open(data)?;
        match upload {
            Some(content) => {
                // A server that refuses half-way closes; its reply says why.
                done.clean = stream.write_all(content).is_ok() && stream.flush().is_ok();
                done.clean &= stream.close().is_ok();
            }
            None => {
                done.clean = stream.read_to_end(&mut done.data).is_ok();
                let _ = stream.close();
            }
        }
        done.resumed = stream.resumed();
        drop(stream);
        done.codes.push(self.reply()?.code);
        Ok(done)
    }

    /// Asks for a data connection; an unwilling server's code goes to `codes`.
    pub(crate) fn prepare_data(&mut self, codes: &mut Vec<u16>) -> io::Result<Option<DataPort>> {
        let reply = match self.mode {
            DataMode::Epsv | DataMode::Pasv => {
                let verb = if self.mode == DataMode::Epsv {
                    "EPSV"
                } else {
                    "PASV"
                };
                let reply = self.command(verb)?;
                if let Some(address) = passive_address(&reply, self.peer) {
                    let socket = TcpStream::connect(address)?;
                    prepare(&socket, self.patience)?;
                    return Ok(Some(DataPort::Connected(socket)));
                }
                reply
            }
            DataMode::Eprt | DataMode::Port => {
                let here = self.stream.socket().local_addr()?;
                let listener = TcpListener::bind((here.ip(), 0))?;
                let port = listener.local_addr()?.port();
                let reply = self.command(&active_line(self.mode, here.ip(), port))?;
                if reply.code == 200 {
                    return Ok(Some(DataPort::Listening(listener)));
                }
                reply
            }
        };
        codes.push(reply.code);
        Ok(None)
    }

    /// The data connection itself, once the server has said that it begins.
    pub(crate) fn open(&self, port: DataPort) -> io::Result<Stream> {
        let socket = match port {
            DataPort::Connected(socket) => socket,
            DataPort::Listening(listener) => accept(&listener)?,
        };
        prepare(&socket, self.patience)?;
        match self.protect {
            true => Stream::wrap(socket, &self.tls),
            false => Ok(Stream::Plain(socket)),
        }
    }
}

/// A data connection that is agreed upon.
pub(crate) enum DataPort {
    Connected(TcpStream),
    Listening(TcpListener),
}

/// A connection in clear or under TLS.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Shakes hands at once.
    pub(crate) fn wrap(mut socket: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(tls, socket))))
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Ends what is sent in good order; more may be read.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown(Shutdown::Write),
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()
            }
        }
    }

    fn resumed(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// What PASV or EPSV answered: a port, and an address with PASV.
pub(crate) fn passive_address(reply: &Reply, peer: SocketAddr) -> Option<SocketAddr> {
    let inside = |open: &str, close: &str| {
        let (_, after) = reply.text.split_once(open)?;
        after.split_once(close).map(|(inside, _)| inside)
    };
    match reply.code {
        227 => {
            let numbers: Vec<u8> = inside("(", ")")?
                .split(',')
                .map(|number| number.trim().parse().ok())
                .collect::<Option<_>>()?;
            let [a, b, c, d, high, low] = numbers[..] else {
                return None;
            };
            Some((IpAddr::from([a, b, c, d]), u16::from_be_bytes([high, low])).into())
        }
        229 => {
            let port = inside("|||", "|")?.parse().ok()?;
            Some((peer.ip(), port).into())
        }
        _ => None,
    }
}

/// `PORT` or `EPRT` for an address.
pub(crate) fn active_line(mode: DataMode, ip: IpAddr, port: u16) -> String {
    match (mode, ip) {
        (DataMode::Port, IpAddr::V4(ip)) => {
            let [high, low] = port.to_be_bytes();
            let ip = ip.to_string().replace('.', ",");
            format!("PORT {ip},{high},{low}")
        }
        (_, ip) => format!("EPRT |{}|{ip}|{port}|", if ip.is_ipv4() { 1 } else { 2 }),
    }
}

fn parse(buffer: &[u8]) -> Option<(Reply, usize)> {
    let mut length = 0;
    let mut text = String::new();
    let mut code = None;
    for line in buffer.split_inclusive(|byte| *byte == b'\n') {
        if !line.ends_with(b"\n") {
            return None;
        }
        length += line.len();
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\r', '\n']);
        text.push_str(line);
        let number = line.get(..3).and_then(|code| code.parse::<u16>().ok());
        let last = line.get(3..4).is_none_or(|mark| mark != "-");
        let first: u16 = *code.get_or_insert(number.unwrap_or(0));
        if last && number == Some(first) || first == 0 {
            return Some((Reply { code: first, text }, length));
        }
        text.push('\n');
    }
    None
}

fn prepare(socket: &TcpStream, patience: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(patience))
}

fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    // Linux bounds accept(2) by it as well: socket(7).
    SockRef::from(listener).set_read_timeout(Some(PATIENCE))?;
    Ok(listener.accept()?.0)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn tls_config(versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    trusting(versions).with_no_client_auth()
}

/// Trusts anybody: what looks at servers' certificates is elsewhere.
pub(crate) fn trusting(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
