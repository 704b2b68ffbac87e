//! Whether this instance can serve: what it depends on, and whether that answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Something that the instance depends on, as it answered last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is, in a word.
    pub name: &'static str,
    /// Whether the instance can serve as far as this goes.
    pub ready: bool,
    /// How long the last answer took; none when there was none.
    pub latency: Option<Duration>,
    /// What went wrong at the last look, in words that anybody may read.
    pub problem: Option<String>,
    /// The same for each region, where there is one of these in each.
    pub regions: Vec<RegionPart>,
}

/// A part as it answered last in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionPart {
    /// The region's name.
    pub region: Arc<str>,
    /// Whether the instance can serve there as far as this goes.
    pub ready: bool,
    /// How long the last answer took; none when there was none.
    pub latency: Option<Duration>,
    /// What went wrong at the last look, in words that anybody may read.
    pub problem: Option<String>,
}

/// The last look at all parts. Clones are the same.
#[derive(Clone, Debug)]
pub struct Readiness {
    parts: watch::Sender<Arc<[Part]>>,
}

impl Default for Readiness {
    /// Nothing was looked at: whoever starts a server has just used all of it.
    fn default() -> Self {
        Self {
            parts: watch::Sender::new([].into()),
        }
    }
}

impl Readiness {
    /// Takes the next look down.
    pub fn note(&self, parts: Vec<Part>) {
        self.parts.send_replace(parts.into());
    }

    /// The last look.
    pub fn parts(&self) -> Arc<[Part]> {
        self.parts.borrow().clone()
    }

    /// Whether all parts are ready.
    pub fn is_ready(&self) -> bool {
        are_ready(&self.parts.borrow())
    }

    /// Returns when the instance is ready, or is not, as `wanted`; at once if it is so now.
    pub async fn becomes(&self, wanted: bool) {
        let mut watching = self.parts.subscribe();
        // The sender lives as long as `self`.
        let _ = watching.wait_for(|parts| are_ready(parts) == wanted).await;
    }
}

fn are_ready(parts: &[Part]) -> bool {
    parts.iter().all(|part| part.ready)
}
