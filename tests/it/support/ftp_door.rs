//! A server and accounts on it, for tests that speak FTP byte by byte.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::version::{TLS12, TLS13};

use crate::support::folder::TempFolder;
use crate::support::ftp_raw::{FtpRaw, Reply};
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;

/// The password of all accounts that tests add.
pub(crate) const SECRET: &str = "a secret of this test";

/// A server with the account of `sealift up`, which may log in in the clear.
pub(crate) struct FtpDoor {
    pub(crate) server: Server,
    /// Removed when the test succeeds.
    _folder: Option<TempFolder>,
}

impl FtpDoor {
    pub(crate) fn up() -> Self {
        Self::up_with(&[])
    }

    /// The same with settings of the section `[ftp]`.
    pub(crate) fn up_with(settings: &[(&str, &str)]) -> Self {
        let named = settings
            .iter()
            .map(|(name, value)| (format!("FTP__{name}"), *value));
        Self::up_set(&named.collect::<Vec<_>>())
    }

    /// The same with settings of any section, as in `FTPS__DATA_TLS`.
    pub(crate) fn up_set(settings: &[(impl AsRef<str>, &str)]) -> Self {
        let variables: Vec<_> = settings
            .iter()
            .map(|(name, value)| (format!("SEALIFT__{}", name.as_ref()), (*value).to_owned()))
            .collect();
        let folder = TempFolder::new();
        let server = Server::up_with(&folder.join("data"), &variables);
        Self {
            server,
            _folder: Some(folder),
        }
    }

    /// A server of the test's own.
    pub(crate) fn over(server: Server) -> Self {
        Self {
            server,
            _folder: None,
        }
    }

    /// The port that begins in the clear.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.ready.listeners.ftp.unwrap()
    }

    /// Somebody unknown, on the port that begins with TLS.
    pub(crate) fn implicit_stranger(&self) -> FtpRaw {
        Self::implicit_at(self.implicit())
    }

    /// The same through another port.
    pub(crate) fn implicit_at(address: SocketAddr) -> FtpRaw {
        let (client, greeting) = FtpRaw::connect_implicit_with(address, &[&TLS12, &TLS13]).unwrap();
        assert_eq!(greeting.code, 220);
        client
    }

    /// The port that begins with TLS.
    pub(crate) fn implicit(&self) -> SocketAddr {
        self.server.ready.listeners.ftps.unwrap()
    }

    /// Adds an account of the demo tenant, at home where the demo account is; returns its name.
    pub(crate) fn account(&self, user: &str, words: &[&str]) -> String {
        let name = format!("{user}@demo");
        let start = ["account", "add", &name, "--password-stdin", "--home", "/"];
        self.server
            .admin(&[&start, words].concat(), &format!("{SECRET}\n"));
        name
    }

    /// Sets an account's options.
    pub(crate) fn options(&self, account: &str, options: &[&str]) {
        self.server
            .admin(&[&["account", "ftp", account], options].concat(), "");
    }

    /// Somebody unknown, in the clear.
    pub(crate) fn stranger(&self) -> FtpRaw {
        let (client, greeting) = FtpRaw::connect(self.address()).unwrap();
        assert_eq!(greeting.code, 220);
        client
    }

    /// The demo account, in the clear, with TYPE I.
    pub(crate) fn clear(&self) -> FtpRaw {
        let mut client = self.stranger();
        client.login(DEMO, &self.server.password());
        assert_eq!(code(&mut client, "TYPE I"), 200);
        client
    }

    /// The demo account over TLS, its data too, with TYPE I.
    pub(crate) fn sealed(&self) -> FtpRaw {
        self.sealed_as(DEMO, &self.server.password())
    }

    /// The same for another account.
    pub(crate) fn sealed_as(&self, account: &str, password: &str) -> FtpRaw {
        let mut client = self.stranger();
        client.secure();
        client.login(account, password);
        assert_eq!(code(&mut client, "TYPE I"), 200);
        client
    }
}

/// The code of the reply to a command.
#[track_caller]
pub(crate) fn code(client: &mut FtpRaw, line: &str) -> u16 {
    ask(client, line).code
}

/// The reply to a command.
#[track_caller]
pub(crate) fn ask(client: &mut FtpRaw, line: &str) -> Reply {
    let reply = client.command(line);
    reply.unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The code of the next reply.
#[track_caller]
pub(crate) fn next(client: &mut FtpRaw) -> u16 {
    client.reply().unwrap().code
}

/// Uploads; the last code.
#[track_caller]
pub(crate) fn put(client: &mut FtpRaw, line: &str, content: &[u8]) -> u16 {
    let done = client.upload(line, content).unwrap();
    *done.codes.last().unwrap()
}

/// Downloads what must be there.
#[track_caller]
pub(crate) fn get(client: &mut FtpRaw, line: &str) -> Vec<u8> {
    let done = client.download(line).unwrap();
    assert_eq!(done.codes.last(), Some(&226), "{line}: {:?}", done.codes);
    done.data
}

/// What SIZE says of a file, as soon as nobody is known to send it; none when it is not there.
#[track_caller]
pub(crate) fn size(client: &mut FtpRaw, file: &str) -> Option<usize> {
    let reply = wait_for("nobody to send the file", Duration::from_secs(90), || {
        let reply = ask(client, &format!("SIZE {file}"));
        (reply.code != 450).then_some(reply)
    });
    match reply.code {
        213 => reply.text.get(4..).unwrap().trim().parse().ok(),
        550 => None,
        _ => panic!("{reply:?}"),
    }
}

/// Sends EPSV; the port to connect to.
#[track_caller]
pub(crate) fn epsv(client: &mut FtpRaw) -> u16 {
    let reply = ask(client, "EPSV");
    assert_eq!(reply.code, 229, "{reply:?}");
    let (_, port) = reply.text.split_once("|||").unwrap();
    port.split('|').next().unwrap().parse().unwrap()
}

/// Connects to a port from an address of this machine.
pub(crate) fn connect_from(from: IpAddr, port: u16) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket
        .connect_timeout(&to.into(), Duration::from_secs(5))
        .unwrap();
    let stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(Duration::from_secs(12)))
        .unwrap();
    stream
}

/// Bytes that nobody can guess and no codec shortens.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
    bytes
}
