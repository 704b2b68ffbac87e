//! Operations that are planned from what is known and written at one go: on PostgreSQL, where each
//! statement is a way there and back, all that wait take as many as one.

use std::collections::HashSet;
use std::sync::Arc;

use crate::db::audit::Happening;
use crate::db::clocks::Clock;
use crate::db::known::{self, Known, Question};
use crate::db::plan::{self, Plan};
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::{ChangeId, NodeId};
use crate::domain::principal::Actor;
use crate::domain::temporary::TemporaryNames;

/// An operation that needs no statements of its own.
pub trait Planned: Send + Sync {
    /// What it asks; nothing when it is only a line in the audit log.
    fn question(&self) -> Option<Question<'_>>;

    /// What it does, decided from the answers alone. An error refuses it and changes nothing.
    ///
    /// # Errors
    /// As the operation says.
    fn plan(&self, known: &mut Known, next: Committed) -> Result<Outcome>;
}

/// What a planned operation does.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Writes a line in the audit log.
    Event(Happening),
    /// Makes a new version of a file.
    Version(Box<Plan>),
}

/// One of those that are committed together.
pub(in crate::db) struct Member<'a> {
    pub(in crate::db) id: ChangeId,
    pub(in crate::db) actor: &'a Actor,
    pub(in crate::db) operation: &'a dyn Planned,
}

/// How many of `operations` may be committed together: those up to the first that has to see what one
/// before it did, or needs statements of its own.
pub(in crate::db) fn prefix<'a>(
    operations: impl Iterator<Item = Option<&'a dyn Planned>>,
) -> usize {
    let (mut places, mut nodes) = (HashSet::new(), HashSet::new());
    let is_apart = |operation: Option<&'a dyn Planned>| {
        let question = operation?.question();
        let seen = question.is_some_and(|question| {
            let is_new = places.insert((question.parent, question.name));
            !is_new || question.node.is_some_and(|node| !nodes.insert(node))
        });
        (!seen).then_some(())
    };
    operations.map_while(is_apart).count()
}

/// Plans and writes `members` in a transaction that has locked the tenant's clock row. None when they
/// have to be applied one by one instead, in another transaction.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::db) async fn attempt(
    tx: &mut TenantTx,
    members: &[Member<'_>],
    passed: Option<Timestamp>,
    temporary: &Arc<TemporaryNames>,
) -> Result<Option<(Clock, Vec<Result<Committed>>)>> {
    let questions = members.iter().filter_map(|m| m.operation.question());
    let questions: Vec<_> = questions.collect();
    let Some((mut known, row)) = known::about_all(tx, &questions).await? else {
        return Ok(None);
    };
    // They are overtaken by statements of their own.
    if known.has_uploads() {
        return Ok(None);
    }
    let mut clock = Clock::read(&row, passed, temporary)?;
    known.listen(clock.listening().cloned());
    let (mut plans, mut lines, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    let mut letters = Vec::new();
    let mut nodes: HashSet<NodeId> = HashSet::new();
    for member in members {
        let next = clock.next();
        outcomes.push(match member.operation.plan(&mut known, next) {
            Err(error) => Err(error),
            Ok(Outcome::Event(happening)) => {
                let (line, told) = clock.line(None, member.actor, happening);
                lines.push(line);
                letters.extend(told);
                Ok(next)
            }
            Ok(Outcome::Version(plan)) => {
                if !nodes.insert(plan.entry.node) {
                    return Ok(None);
                }
                let happening = plan.happening.clone();
                let (line, told) = clock.line(Some(member.id), member.actor, happening);
                lines.push(line);
                letters.extend(told);
                plans.push(*plan);
                Ok(next)
            }
        });
    }
    if lines.is_empty() {
        return Ok(Some((clock, outcomes)));
    }
    match plan::write_all(tx, &plans, lines, letters, &clock).await {
        Ok(true) => Ok(Some((clock, outcomes))),
        Ok(false) => Ok(None),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}
