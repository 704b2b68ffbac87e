//! The audit logs of all tenants, on their way to a syslog server.
//!
//! Each tenant's records are sent in their order, from the one after the last that the server is known to have.
//! Syslog confirms nothing, so a record counts as there once the connection has lived on for a while after it,
//! longer than a connection lives whose other end is gone; what was sent before a connection broke, and is not
//! known to be there, is sent again. So none is lost, and those of the last seconds may come twice: `number` tells.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::db::audit::{self, AuditRecord};
use crate::db::{accounts, leases, syslog_cursors, tenants};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;
use crate::domain::measures;
use crate::net::outgoing::{Outgoing, Stream};
use crate::telemetry::syslog_message::{Message, Sender, Severity};
use crate::vfs::service::Vfs;

/// Records that are read at a time.
const PAGE: i64 = 256;
/// How often it is looked for new ones, and at the latest in a tenant where there were none for long.
const LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(10);
/// How long a connection must live on for what was sent to count as there.
const CONFIRMED: Duration = Duration::from_secs(10);
/// How long a server may take for a page, and to say at the end that it has heard all.
const STALL: Duration = Duration::from_secs(15);
const LAST_WORDS: Duration = Duration::from_secs(4);
/// How long one instance has a server to itself, and how often it says so again.
const LEASE: Duration = Duration::from_secs(60);
const RENEW: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Sends audit logs to one server.
pub struct AuditSender {
    vfs: Vfs,
    sender: Sender,
    server: Arc<str>,
    to: Outgoing,
    /// The lease that it needs.
    kind: String,
}

/// A connection, and what went through it.
struct Link {
    stream: Box<dyn Stream>,
    /// The last record of each tenant that was sent, or that the server had before.
    sent: HashMap<TenantId, i64>,
    /// What was sent and may not be there, oldest first.
    unconfirmed: VecDeque<(Instant, TenantId, i64)>,
    /// When this instance said last that the server is its own.
    leased: Instant,
    /// When a tenant is looked at next, and how long after that if there is nothing.
    looks: HashMap<TenantId, (Instant, Duration)>,
}

impl AuditSender {
    /// Sends what `vfs` keeps to the server at `to`, which cursors and metrics know as `server`.
    pub fn new(vfs: Vfs, sender: Sender, server: Arc<str>, to: Outgoing) -> Self {
        Self {
            kind: format!("syslog {server}"),
            vfs,
            sender,
            server,
            to,
        }
    }

    /// Sends until `stop`, whenever this instance is the one that does.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        let mut is_told = false;
        while !stop.is_cancelled() {
            let ended = self.serve(&stop, &mut pause, &mut is_told).await;
            if let Err(error) = ended
                && !is_told
            {
                tracing::warn!(server = %self.server, error = ?error, "the audit log does not reach a syslog server; it is sent once it does");
                is_told = true;
            }
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends until the connection breaks, the lease is another's, or `stop`.
    async fn serve(
        &mut self,
        stop: &CancellationToken,
        pause: &mut Duration,
        is_told: &mut bool,
    ) -> Result<()> {
        if !self.has_lease().await? {
            *pause = FIRST_PAUSE;
            return Ok(());
        }
        let mut link = Link {
            stream: self.to.connect().await?,
            sent: HashMap::new(),
            unconfirmed: VecDeque::new(),
            leased: Instant::now(),
            looks: HashMap::new(),
        };
        if std::mem::take(is_told) {
            tracing::info!(server = %self.server, "the syslog server can be reached again");
        }
        *pause = FIRST_PAUSE;
        loop {
            if !self.send_all(&mut link, stop).await? {
                return Ok(());
            }
            self.confirm(&mut link, CONFIRMED).await?;
            if !self.keeps_lease(&mut link).await? {
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => return self.send_last(link).await,
                lost = lost(&mut link.stream) => return Err(lost),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn keeps_lease(&self, link: &mut Link) -> Result<bool> {
        if link.leased.elapsed() < RENEW {
            return Ok(true);
        }
        link.leased = Instant::now();
        self.has_lease().await
    }

    async fn has_lease(&self) -> Result<bool> {
        let (db, instance) = (self.vfs.database(), self.vfs.instance());
        leases::take(db, TenantId(0), &self.kind, instance, LEASE).await
    }

    /// Sends what there is in the end, as far as the server takes it soon. The rest is sent by whoever comes next.
    async fn send_last(&mut self, mut link: Link) -> Result<()> {
        link.looks.clear();
        let never = CancellationToken::new();
        match timeout(LAST_WORDS, self.send_all(&mut link, &never)).await {
            Ok(sent) => drop(sent?),
            Err(_) => return self.confirm(&mut link, CONFIRMED).await,
        }
        self.finish(link).await
    }

    /// Sends what there is, until `stop`; false when the server has become another instance's.
    async fn send_all(&mut self, link: &mut Link, stop: &CancellationToken) -> Result<bool> {
        let now = Instant::now();
        for tenant in tenants::list(self.vfs.database()).await? {
            let look = link.looks.get(&tenant.id).copied();
            let (due, pause) = look.unwrap_or((now, LOOK));
            if due > now {
                continue;
            }
            let mut next = (pause * 2).min(LONGEST_LOOK);
            while self.send_page(link, tenant.id, &tenant.name).await? {
                next = LOOK;
                // Of a long past, the connection is asked now and then.
                self.confirm(link, CONFIRMED).await?;
                if !self.keeps_lease(link).await? {
                    return Ok(false);
                }
                if stop.is_cancelled() {
                    return Ok(true);
                }
            }
            link.looks.insert(tenant.id, (now + pause.min(next), next));
        }
        Ok(true)
    }

    /// Sends some of what is new of a tenant; false when nothing is.
    async fn send_page(&mut self, link: &mut Link, tenant: TenantId, name: &str) -> Result<bool> {
        let db = self.vfs.database().clone();
        let after = match link.sent.get(&tenant) {
            Some(number) => *number,
            None => syslog_cursors::find(&db, &self.server, tenant).await?,
        };
        let mut tx = db.read(tenant).await?;
        let page = audit::page(&mut tx, after, PAGE).await?;
        let mut frames = Vec::new();
        let ids = page.iter().filter_map(|record| record.account);
        let names = accounts::names(&mut tx, ids).await?;
        for record in &page {
            let account = record.account.and_then(|id| names.get(&id).cloned());
            self.write(record, name, account, &mut frames);
        }
        drop(tx);
        let Some(last) = page.last() else {
            link.sent.insert(tenant, after);
            return Ok(false);
        };
        let sending = timeout(STALL, async {
            link.stream.write_all(&frames).await?;
            link.stream.flush().await
        });
        let sent = sending.await.map_err(|_| unreachable("it takes nothing"))?;
        sent.map_err(unreachable)?;
        link.sent.insert(tenant, last.number);
        link.unconfirmed
            .push_back((Instant::now(), tenant, last.number));
        measures::syslog(&self.server, "audit", true, page.len() as u64);
        Ok(true)
    }

    /// Notes what counts as there after `age`.
    async fn confirm(&self, link: &mut Link, age: Duration) -> Result<()> {
        let mut there: HashMap<TenantId, i64> = HashMap::new();
        while let Some((at, tenant, number)) = link.unconfirmed.front().copied()
            && at.elapsed() >= age
        {
            there.insert(tenant, number);
            link.unconfirmed.pop_front();
        }
        for (tenant, number) in there {
            syslog_cursors::set(self.vfs.database(), &self.server, tenant, number).await?;
        }
        Ok(())
    }

    /// Ends the connection; if the server ends it too, it has heard all.
    async fn finish(&self, mut link: Link) -> Result<()> {
        let ended = timeout(LAST_WORDS, async {
            link.stream.shutdown().await?;
            let mut rest = [0; 64];
            loop {
                match link.stream.read(&mut rest).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    // It has read all and closed, without a word of TLS, as many do.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        });
        match ended.await {
            Ok(Ok(())) => self.confirm(&mut link, Duration::ZERO).await,
            // It is sent again.
            Ok(Err(_)) | Err(_) => self.confirm(&mut link, CONFIRMED).await,
        }
    }

    fn write(
        &self,
        record: &AuditRecord,
        tenant: &str,
        account: Option<String>,
        frames: &mut Vec<u8>,
    ) {
        let number = record.account.map(|id| id.to_string());
        let optional = [
            ("account", account),
            ("accountId", number),
            ("address", record.address.clone()),
            ("session", record.session.clone()),
        ];
        let mut data = vec![
            ("tenant", tenant.to_owned()),
            ("number", record.number.to_string()),
            ("event", record.kind.clone()),
            ("protocol", record.protocol.clone()),
        ];
        let given = optional.into_iter();
        data.extend(given.filter_map(|(name, value)| Some((name, value?))));
        let severity = match record.kind.as_str() {
            "login-failed" | "refused" => Severity::Warning,
            _ => Severity::Notice,
        };
        let message = Message {
            severity,
            at: record.at,
            kind: &record.kind,
            data: &data,
            text: &record.detail,
        };
        self.sender.write(&message, frames);
    }
}

/// Returns once the other end is gone; it has nothing to say.
async fn lost(stream: &mut Box<dyn Stream>) -> Error {
    let mut said = [0; 256];
    loop {
        match stream.read(&mut said).await {
            Ok(0) => return unreachable("it ended the connection"),
            Ok(_) => {}
            Err(error) => return unreachable(error),
        }
    }
}

fn unreachable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Unavailable, "the syslog server does not listen").because(why)
}
