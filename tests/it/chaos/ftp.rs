//! Workers that come by FTP, all of it over TLS.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::chaos::doors::{Client, Told, Trouble};
use crate::chaos::writes::Content;
use crate::support::ftp_raw::{FtpRaw, Reply, Transfer};
use crate::support::two::SECRET;

pub(crate) struct Ftp(FtpRaw);

impl Ftp {
    pub(crate) fn connect(address: SocketAddr, login: &str, patience: Duration) -> Told<Self> {
        let (raw, greeting) = FtpRaw::connect_with(address, patience)?;
        let mut client = Self(raw);
        expect(&greeting, 220)?;
        expect(&client.0.auth_tls()?, 234)?;
        client.ask("PBSZ 0", 200)?;
        client.ask("PROT P", 200)?;
        client.0.protect = true;
        client.ask(&format!("USER {login}"), 331)?;
        client.ask(&format!("PASS {SECRET}"), 230)?;
        client.ask("TYPE I", 200)?;
        Ok(client)
    }

    /// Adds to the end of a file.
    pub(crate) fn append(&mut self, path: &str, bytes: &[u8]) -> Told<()> {
        stored(&self.0.upload(&format!("APPE {path}"), bytes)?)
    }

    /// Begins to store a file, and breaks off.
    pub(crate) fn break_off(mut self, path: &str, bytes: &[u8]) -> Told<()> {
        let mut codes = Vec::new();
        let Some(port) = self.0.prepare_data(&mut codes)? else {
            return Err(refusal(codes[0], "no data connection"));
        };
        self.ask(&format!("STOR {path}"), 150)?;
        let mut data = self.0.open(port)?;
        data.write_all(bytes)?;
        data.flush()?;
        Ok(())
    }

    /// How much is there of a file that this account sends; none when there is nothing.
    pub(crate) fn size(&mut self, path: &str) -> Told<Option<usize>> {
        let reply = self.0.command(&format!("SIZE {path}"))?;
        match is_missing(&reply) {
            true => Ok(None),
            false => {
                expect(&reply, 213)?;
                Ok(Some(reply.text[4..].trim().parse().unwrap()))
            }
        }
    }

    /// Goes on with what broke off, by REST.
    pub(crate) fn go_on(&mut self, path: &str, offset: usize, rest: &[u8]) -> Told<()> {
        self.ask(&format!("REST {offset}"), 350)?;
        stored(&self.0.upload(&format!("STOR {path}"), rest)?)
    }

    fn ask(&mut self, line: &str, code: u16) -> Told<Reply> {
        let reply = self.0.command(line)?;
        expect(&reply, code)?;
        Ok(reply)
    }
}

impl Client for Ftp {
    fn put(&mut self, path: &str, bytes: &[u8]) -> Told<()> {
        stored(&self.0.upload(&format!("STOR {path}"), bytes)?)
    }

    fn read(&mut self, path: &str) -> Told<Content> {
        let done = self.0.download(&format!("RETR {path}"))?;
        match done.codes.last() {
            Some(226) if done.clean => Ok(Some(Arc::new(done.data))),
            Some(226) => Err(Trouble::Silent("the data did not end well".to_owned())),
            // Before a byte was sent.
            Some(550) if done.codes.len() == 1 => Ok(None),
            code => Err(refusal(*code.unwrap(), "RETR")),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Told<()> {
        self.ask(&format!("RNFR {from}"), 350)?;
        self.ask(&format!("RNTO {to}"), 250).map(drop)
    }

    fn delete(&mut self, path: &str) -> Told<()> {
        self.ask(&format!("DELE {path}"), 250).map(drop)
    }

    fn list(&mut self, folder: &str) -> Told<BTreeMap<String, u64>> {
        let done = self.0.download(&format!("MLSD {folder}"))?;
        match done.codes.last() {
            Some(226) if done.clean => {}
            Some(226) => return Err(Trouble::Silent("the data did not end well".to_owned())),
            code => return Err(refusal(*code.unwrap(), "MLSD")),
        }
        let lines = String::from_utf8(done.data).unwrap();
        let entry = |line: &str| {
            let (facts, name) = line.split_once(' ').unwrap();
            let mut facts = facts.split(';').filter_map(|fact| fact.split_once('='));
            let size = facts.find(|(fact, _)| fact.eq_ignore_ascii_case("size"));
            let is_file = line.to_ascii_lowercase().contains("type=file;");
            is_file.then(|| (name.to_owned(), size.unwrap().1.parse().unwrap()))
        };
        Ok(lines.lines().filter_map(entry).collect())
    }
}

fn stored(done: &Transfer) -> Told<()> {
    match done.codes.last() {
        Some(226) => Ok(()),
        code => Err(refusal(*code.unwrap(), "a transfer")),
    }
}

fn expect(reply: &Reply, code: u16) -> Told<()> {
    match reply.code == code {
        true => Ok(()),
        false if is_missing(reply) => Err(Trouble::Missing(reply.text.clone())),
        false => Err(refusal(reply.code, &reply.text)),
    }
}

fn is_missing(reply: &Reply) -> bool {
    reply.code == 550
}

fn refusal(code: u16, what: &str) -> Trouble {
    let told = format!("FTP {code}: {what}");
    match code {
        400..500 => Trouble::Refused(told),
        _ => Trouble::Wrong(told),
    }
}
