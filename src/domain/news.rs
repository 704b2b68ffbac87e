//! What is told to others of something that happened.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::domain::id::{NodeId, WebhookId};
use crate::domain::temporary::TemporaryNames;
use crate::domain::topic::{Topic, Topics};

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What kind of thing.
    pub topic: Topic,
    /// Which file or folder it is about, if any.
    pub path: Option<String>,
    /// Where that was before, or what it was copied from.
    pub from: Option<String>,
    /// The folder below which each file is told of instead, with the paths of the folder before theirs. Only a
    /// change that is applied, and not planned, may say so.
    pub below: Option<NodeId>,
    /// Who alone is to be told; none is whoever wants to.
    pub only: Option<WebhookId>,
    /// What else there is to say.
    pub facts: Map<String, Value>,
}

impl News {
    /// Something about a topic, with nothing said of it yet.
    pub fn new(topic: Topic) -> Self {
        Self {
            topic,
            path: None,
            from: None,
            below: None,
            only: None,
            facts: Map::new(),
        }
    }

    /// The same with a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

/// What a tenant's webhooks want to be told.
#[derive(Clone, Debug)]
pub struct Listening {
    topics: Topics,
    temporary: Arc<TemporaryNames>,
}

impl Listening {
    /// Somebody wants these topics, and nothing about names that are temporary.
    pub fn new(topics: Topics, temporary: Arc<TemporaryNames>) -> Self {
        Self { topics, temporary }
    }

    /// Whether anybody wants a topic.
    pub fn wants(&self, topic: Topic) -> bool {
        self.topics.contains(topic)
    }

    /// Whether a path is temporary, so that nothing is told of it.
    pub fn hides(&self, path: &str) -> bool {
        self.temporary.hide(path)
    }
}
