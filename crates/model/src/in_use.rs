//! How many calls use a model right now.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::published::LoadedModel;

/// The calls that use one model.
#[derive(Debug, Default)]
pub(crate) struct Users(AtomicUsize);

/// A model that a call uses. It counts as used until this is dropped.
#[derive(Debug)]
pub struct InUse(Arc<LoadedModel>);

impl LoadedModel {
    /// The model for one more call; `None` when `limit` calls use it already. A model that is loaded anew starts from
    /// zero.
    pub fn enter(self: &Arc<Self>, limit: usize) -> Option<InUse> {
        let before = self.users.0.fetch_add(1, Ordering::Relaxed);
        // Counted already: dropping it takes it back.
        let in_use = InUse(Arc::clone(self));
        (before < limit).then_some(in_use)
    }
}

impl InUse {
    /// The model itself, for work that may outlive the call.
    pub fn shared(&self) -> Arc<LoadedModel> {
        Arc::clone(&self.0)
    }
}

impl Deref for InUse {
    type Target = LoadedModel;

    fn deref(&self) -> &LoadedModel {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.users.0.fetch_sub(1, Ordering::Relaxed);
    }
}
