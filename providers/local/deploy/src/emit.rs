//! Events put into a deployed app by hand, through the host.

use async_trait::async_trait;
use xcloud_core::Result;
use xcloud_deploy::{Emit, Emitted, Events, Stage};

use crate::Local;
use crate::client::app_path;
use crate::host::api::app_key;

#[async_trait]
impl Events for Local {
    async fn emit(&self, stage: &Stage, emit: Emit) -> Result<Emitted> {
        self.deployed(stage)?;
        self.control.post(&app_path(&app_key(stage)?, "/emit"), &emit).await
    }
}
