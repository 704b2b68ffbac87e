//! Transcripts: what is said to FTP servers, and what each of them answers.
//!
//! A file begins with `# ` and its topic. A story begins with `= ` and a sentence; it gets a session
//! of its own, logged in and in a new folder (`=stranger`: not logged in, `=tls`: under TLS). Each
//! line after it is one exchange:
//!
//! `step | ours | vsftpd | proftpd | pure-ftpd | why ours differs`, or `step | all of them`
//!
//! Steps: a command is sent and its code recorded. `CMD <<text` uploads, `CMD >>` downloads
//! (`>>size`, `>>names`: only that is recorded); `CMD ?` records the text too (`?quoted`, `?fact
//! NAME`, `?has WORD`: part of it). `!` begins what is no command; see `Play::special`. An answer `*`
//! is not compared.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::ftp_raw::{DataMode, FtpRaw, Reply, Transfer, active_line};

/// A server that answers during a transfer does so within this time.
const PROMPTLY: Duration = Duration::from_secs(3);

/// The order of the answers in a line.
pub(crate) const COLUMNS: [&str; 4] = ["sealift", "vsftpd", "proftpd", "pure-ftpd"];

/// A file of stories.
pub(crate) struct Topic {
    path: PathBuf,
    pub(crate) title: String,
    pub(crate) stories: Vec<Story>,
}

/// What happens in one session.
#[derive(Clone)]
pub(crate) struct Story {
    kind: String,
    pub(crate) title: String,
    pub(crate) exchanges: Vec<Exchange>,
}

/// One step and what it gave with each server.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) step: String,
    /// Empty where nothing is recorded yet.
    pub(crate) answers: [String; 4],
    pub(crate) why: String,
}

/// Whom to play with.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Topic {
    /// All topics below `folder`, by name.
    pub(crate) fn read_all(folder: &Path) -> Vec<Self> {
        let listed = fs::read_dir(folder).unwrap();
        let mut paths: Vec<_> = listed.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        let title = lines.next().unwrap().strip_prefix("# ").unwrap().to_owned();
        let mut stories: Vec<Story> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            if let Some(header) = line.strip_prefix('=') {
                let (kind, title) = header.split_once(' ').unwrap();
                stories.push(Story {
                    kind: kind.to_owned(),
                    title: title.to_owned(),
                    exchanges: Vec::new(),
                });
            } else {
                let story = stories.last_mut().expect("a story begins with =");
                story.exchanges.push(Exchange::parse(line));
            }
        }
        Self {
            path: path.to_owned(),
            title,
            stories,
        }
    }

    /// Writes the file anew, in columns.
    pub(crate) fn write(&self) {
        let mut text = format!("# {}\n", self.title);
        for story in &self.stories {
            let _ = writeln!(text, "\n={} {}", story.kind, story.title);
            let steps = story.exchanges.iter().map(|e| e.step.chars().count());
            let width = steps.max().unwrap_or(0).min(60);
            for exchange in &story.exchanges {
                let _ = writeln!(text, "{}", exchange.line(width));
            }
        }
        fs::write(&self.path, text).unwrap();
    }
}

impl Exchange {
    fn parse(line: &str) -> Self {
        let mut parts = line.split(" | ").map(|part| part.trim().to_owned());
        let step = parts.next().unwrap();
        let mut answers: Vec<String> = parts.collect();
        let why = if answers.len() > 4 {
            answers.split_off(4).join(" | ")
        } else {
            String::new()
        };
        if answers.len() <= 1 {
            answers = vec![answers.pop().unwrap_or_default(); 4];
        }
        let answers = answers
            .try_into()
            .unwrap_or_else(|_| panic!("one or four answers: {line}"));
        Self { step, answers, why }
    }

    fn line(&self, width: usize) -> String {
        let [ours, peers @ ..] = &self.answers;
        if ours.is_empty() && peers.iter().all(String::is_empty) {
            return self.step.clone();
        }
        let mut line = format!("{:width$} | {ours}", self.step);
        if peers.iter().any(|peer| peer != ours) || !self.why.is_empty() {
            for peer in peers {
                let _ = write!(line, " | {peer}");
            }
        }
        if !self.why.is_empty() {
            let _ = write!(line, " | {}", self.why);
        }
        line
    }

    /// How many peers answer the same as we do, as far as a client acts on it.
    pub(crate) fn agreeing(&self) -> usize {
        let [ours, peers @ ..] = &self.answers;
        let same = |peer: &&String| class(peer) == class(ours);
        peers.iter().filter(same).count()
    }
}

/// First digits of codes, and results.
pub(crate) fn class(answer: &str) -> String {
    let words = answer.split(' ').map(|word| match word.parse::<u16>() {
        Ok(code) if word.len() == 3 => format!("{}xx", code / 100),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Plays a story; returns one answer for each exchange.
pub(crate) fn play(stage: &Stage, story: &Story, folder: &str) -> Vec<String> {
    let mut play = match Play::begin(stage, &story.kind, folder) {
        Ok(play) => play,
        Err(error) => return vec![format!("no session: {error}"); story.exchanges.len()],
    };
    let mut over = false;
    let mut answers = Vec::new();
    for exchange in &story.exchanges {
        over &= exchange.step != "!new";
        let answer = match over {
            true => "closed".to_owned(),
            false => play.step(&exchange.step).unwrap_or_else(|error| {
                over = true;
                how_it_ended(&error)
            }),
        };
        answers.push(answer.replace(folder, "{dir}"));
    }
    answers
}

fn how_it_ended(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "silence".to_owned(),
        io::ErrorKind::InvalidData => "no-tls".to_owned(),
        _ => "closed".to_owned(),
    }
}

/// A session in which a story is told.
struct Play {
    stage: Stage,
    kind: String,
    folder: String,
    client: FtpRaw,
    greeting: Reply,
}

impl Play {
    fn begin(stage: &Stage, kind: &str, folder: &str) -> io::Result<Self> {
        let (client, greeting) = FtpRaw::connect(stage.address)?;
        let mut play = Self {
            stage: stage.clone(),
            kind: kind.to_owned(),
            folder: folder.to_owned(),
            client,
            greeting,
        };
        if kind == "tls" {
            play.client.secure();
        }
        if kind != "stranger" {
            play.log_in()?;
        }
        Ok(play)
    }

    fn log_in(&mut self) -> io::Result<()> {
        self.client.command(&format!("USER {}", self.stage.user))?;
        let answer = self
            .client
            .command(&format!("PASS {}", self.stage.password))?;
        if answer.code != 230 {
            return Err(io::Error::other(answer.text));
        }
        self.client.command(&format!("MKD {}", self.folder))?;
        self.client.command(&format!("CWD {}", self.folder))?;
        self.client.command("TYPE I")?;
        Ok(())
    }

    fn fill(&self, step: &str) -> String {
        let filled = step
            .replace("{user}", &self.stage.user)
            .replace("{password}", &self.stage.password)
            .replace("{dir}", &self.folder);
        repeat(&filled)
    }

    fn step(&mut self, step: &str) -> io::Result<String> {
        let step = self.fill(step);
        if let Some(special) = step.strip_prefix('!') {
            let (verb, rest) = special.split_once(' ').unwrap_or((special, ""));
            return self.special(verb, rest);
        }
        if let Some((line, content)) = step.split_once(" <<") {
            let done = self.client.upload(line, &unescape(content))?;
            return Ok(codes(&done.codes));
        }
        if let Some((line, what)) = step.split_once(" >>") {
            let done = self.client.download(line)?;
            return Ok(downloaded(line, what, &done));
        }
        if let Some((line, what)) = step.split_once(" ?") {
            let reply = self.client.command(line)?;
            return Ok(told(&reply, what));
        }
        let mut line = unescape(&step);
        line.extend(b"\r\n");
        self.client.send(&line)?;
        Ok(self.client.reply()?.code.to_string())
    }

    fn special(&mut self, verb: &str, rest: &str) -> io::Result<String> {
        match verb {
            // Lines sent at once, and all their replies.
            "pipe" => {
                let lines: Vec<&str> = rest.split(" // ").collect();
                let sent: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
                self.client.send(&unescape(&sent))?;
                self.replies(lines.len())
            }
            // Bytes as they are, and a number of replies.
            "raw" => {
                let (count, bytes) = rest.split_once(' ').unwrap();
                self.client.send(&unescape(bytes))?;
                self.replies(count.parse().unwrap())
            }
            "mode" => {
                self.client.mode = match rest {
                    "eprt" => DataMode::Eprt,
                    "pasv" => DataMode::Pasv,
                    "port" => DataMode::Port,
                    _ => DataMode::Epsv,
                };
                Ok("ok".to_owned())
            }
            // Whether the client speaks TLS on data connections, whatever the server thinks.
            "protect" => {
                self.client.protect = rest == "on";
                Ok("ok".to_owned())
            }
            "greeting" => Ok(self.greeting.code.to_string()),
            "tls" => Ok(self.client.auth_tls()?.code.to_string()),
            // AUTH TLS with a command behind it in the same packet, which must never be obeyed.
            "tls-inject" => {
                let injected = format!("AUTH TLS\r\n{rest}\r\n");
                self.client.send(injected.as_bytes())?;
                let first = self.client.reply()?.code;
                self.client.upgrade()?;
                Ok(format!("{first} {}", self.client.command("NOOP")?.code))
            }
            "new" => {
                let next = Self::begin(&self.stage, &self.kind, &self.folder)?;
                *self = next;
                Ok("ok".to_owned())
            }
            "put" => {
                let (name, content) = rest.split_once(' ').unwrap_or((rest, ""));
                let name = String::from_utf8(unescape(name)).unwrap();
                let line = format!("STOR {name}");
                let done = self.client.upload(&line, &unescape(content))?;
                Ok(codes(&done.codes[done.codes.len() - 1..]))
            }
            "big" => {
                let content = vec![b'b'; 24 << 20];
                let done = self.client.upload(&format!("STOR {rest}"), &content)?;
                Ok(codes(&done.codes[done.codes.len() - 1..]))
            }
            // Another command while a download runs, after which the client reads on.
            "during" => {
                let (command, file) = rest.split_once(' ').unwrap();
                self.during(command, file)
            }
            // ABOR as RFC 959 has it, in the middle of a download.
            "abor" => self.abort(rest),
            // A command that needs a data connection, without one; or with one that nobody uses.
            "eprt-to" => {
                let (ip, port) = rest.split_once(' ').unwrap();
                let line = active_line(DataMode::Eprt, ip.parse().unwrap(), port.parse().unwrap());
                Ok(self.client.command(&line)?.code.to_string())
            }
            // A download whose client hangs up the data connection at once.
            "hang-up" => {
                let mut seen = Vec::new();
                let Some(data) = self.client.prepare_data(&mut seen)? else {
                    return Ok(codes(&seen));
                };
                seen.push(self.client.command(&format!("RETR {rest}"))?.code);
                drop(self.client.open(data)?);
                seen.push(self.client.reply()?.code);
                Ok(codes(&seen))
            }
            _ => panic!("unknown step !{verb} {rest}"),
        }
    }

    fn replies(&mut self, count: usize) -> io::Result<String> {
        let mut seen = Vec::new();
        while seen.iter().filter(|code| **code >= 200).count() < count {
            match self.client.reply() {
                Ok(reply) => seen.push(reply.code),
                Err(error) if seen.is_empty() => return Err(error),
                Err(error) => return Ok(format!("{} {}", codes(&seen), how_it_ended(&error))),
            }
        }
        Ok(codes(&seen))
    }

    fn during(&mut self, command: &str, file: &str) -> io::Result<String> {
        let mut seen = Vec::new();
        let Some(data) = self.client.prepare_data(&mut seen)? else {
            return Ok(codes(&seen));
        };
        self.client.command(&format!("RETR {file}"))?;
        let mut stream = self.client.open(data)?;
        let mut first = [0; 1];
        io::Read::read_exact(&mut stream, &mut first)?;
        self.client.send(format!("{command}\r\n").as_bytes())?;
        let at_once = self.client.reply_within(PROMPTLY);
        let length = io::copy(&mut stream, &mut io::sink())?;
        drop(stream);
        let whole = if length + 1 == 24 << 20 {
            "whole"
        } else {
            "cut"
        };
        let (when, reply) = match at_once {
            Some(reply) => ("during", reply?.code),
            None => ("after", 0),
        };
        let last = self.client.reply()?.code;
        let answer = match when {
            "during" => format!("during {reply} {last} {whole}"),
            _ => format!("after {last} {} {whole}", self.client.reply()?.code),
        };
        Ok(answer)
    }

    fn abort(&mut self, file: &str) -> io::Result<String> {
        let mut seen = Vec::new();
        let Some(data) = self.client.prepare_data(&mut seen)? else {
            return Ok(codes(&seen));
        };
        self.client.command(&format!("RETR {file}"))?;
        let mut stream = self.client.open(data)?;
        let mut first = [0; 1];
        io::Read::read_exact(&mut stream, &mut first)?;
        self.client.send(b"\xff\xf4\xff\xf2ABOR\r\n")?;
        // Some look for it only when they can send no more, some not at all.
        let prompt = self.client.reply_within(PROMPTLY);
        let _ = io::copy(&mut stream, &mut io::sink());
        drop(stream);
        let mut answer = match &prompt {
            Some(_) => String::from("at once"),
            None => String::from("late"),
        };
        if let Some(reply) = prompt {
            let _ = write!(answer, " {}", reply?.code);
        }
        self.client.send(b"TYPE I\r\n")?;
        loop {
            let reply = self.client.reply()?;
            if reply.code == 200 {
                return Ok(answer);
            }
            let _ = write!(answer, " {}", reply.code);
        }
    }
}

fn codes(codes: &[u16]) -> String {
    let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
    codes.join(" ")
}

fn downloaded(line: &str, what: &str, done: &Transfer) -> String {
    let mut answer = codes(&done.codes);
    if done.codes.last() == Some(&226) && !done.clean {
        answer.push_str(" unclean");
    }
    if done.codes.len() < 2 {
        return answer;
    }
    match what {
        "size" => {
            let _ = write!(answer, " {} bytes", done.data.len());
        }
        "names" => {
            let text = String::from_utf8_lossy(&done.data);
            let mut names: Vec<&str> = text.lines().filter_map(|l| name_in(line, l)).collect();
            names.retain(|name| !matches!(*name, "." | ".."));
            names.sort_unstable();
            let _ = write!(answer, " [{}]", names.join(", "));
        }
        _ => {
            let _ = write!(answer, " \"{}\"", done.data.escape_ascii());
        }
    }
    answer
}

fn name_in<'a>(command: &str, line: &'a str) -> Option<&'a str> {
    match command.get(..4) {
        Some("LIST") => {
            if line.starts_with("total ") || line.is_empty() {
                return None;
            }
            let mut rest = line;
            for _ in 0..8 {
                rest = rest.trim_start();
                rest = &rest[rest.find(' ')?..];
            }
            rest.get(1..)
        }
        Some("MLSD") => line.split_once(' ').map(|(_, name)| name),
        _ => Some(line),
    }
}

fn told(reply: &Reply, what: &str) -> String {
    let text = reply.text.get(4..).unwrap_or("");
    let (what, word) = what.split_once(' ').unwrap_or((what, ""));
    let part = match what {
        "quoted" => text.split('"').nth(1).unwrap_or("none").to_owned(),
        "fact" => {
            let lower = reply.text.to_lowercase();
            let found = lower.split([';', ' ', '\n']).find_map(|fact| {
                let (name, value) = fact.split_once('=')?;
                (name == word).then(|| value.to_owned())
            });
            found.unwrap_or_else(|| "none".to_owned())
        }
        "has" => {
            let upper = reply.text.to_uppercase();
            match upper.contains(&word.to_uppercase()) {
                true => "yes".to_owned(),
                false => "no".to_owned(),
            }
        }
        _ => text.to_owned(),
    };
    format!("{} {part}", reply.code)
}

/// `{x*300}` is 300 times x.
fn repeat(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let found = after.split_once('}').and_then(|(inside, behind)| {
            let (what, times) = inside.split_once('*')?;
            Some((what.repeat(times.parse().ok()?), behind))
        });
        out.push_str(before);
        match found {
            Some((repeated, behind)) => {
                out.push_str(&repeated);
                rest = behind;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out + rest
}

/// `\r`, `\n`, `\t`, `\0`, `\s` for a space, `\\` and `\xHH`.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b's') => b' ',
            Some(b'x') => {
                let digits: String = bytes.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap()
            }
            _ => b'\\',
        });
    }
    out
}
