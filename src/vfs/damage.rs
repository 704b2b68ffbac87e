//! Damage that reading met, for the job that mends it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::db::blobs::BlobInfo;
use crate::domain::id::{BlobId, RegionId, TenantId};

/// How many reports wait at most; what is read again is reported again.
const MOST: usize = 1000;

/// A blob that is damaged or missing in its own region.
#[derive(Clone, Copy, Debug)]
pub struct Damaged {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which it is.
    pub info: BlobInfo,
    /// Where it was read whole.
    pub whole_in: RegionId,
}

/// Reports of damage.
#[derive(Default)]
pub struct Damage {
    reports: Mutex<HashMap<BlobId, Damaged>>,
    reported: Notify,
}

impl Damage {
    /// Reports a damaged blob; reports beyond a thousand that nobody took are dropped.
    pub fn report(&self, damaged: Damaged) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if reports.len() < MOST {
            reports.insert(damaged.info.id, damaged);
            self.reported.notify_one();
        }
    }

    /// Takes the reports that there are.
    pub fn taken(&self) -> Vec<Damaged> {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *reports).into_values().collect()
    }

    /// Takes all reports; waits until there is one.
    pub async fn take(&self) -> Vec<Damaged> {
        loop {
            let reports = self.taken();
            if !reports.is_empty() {
                return reports;
            }
            self.reported.notified().await;
        }
    }
}
