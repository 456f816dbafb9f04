//! Queues of a deployed app, asked of the host.

use async_trait::async_trait;
use serde::Deserialize;
use xcloud_core::Result;
use xcloud_core::text::percent_encode;
use xcloud_deploy::{Peek, Peeked, QueueStatus, Queues, Stage};

use crate::Local;
use crate::client::app_path;
use crate::host::api::app_key;

#[derive(Deserialize)]
struct Changed {
    messages: u64,
}

impl Local {
    fn queue_path(&self, stage: &Stage, queue: &str, rest: &str) -> Result<String> {
        self.deployed(stage)?;
        Ok(app_path(&app_key(stage)?, &format!("/queues/{}/{rest}", percent_encode(queue))))
    }

    async fn change(&self, method: &str, path: &str) -> Result<u64> {
        let reply = self.control.send(method, path, b"").await?;
        Ok(serde_json::from_slice::<Changed>(&reply.body)?.messages)
    }
}

#[async_trait]
impl Queues for Local {
    async fn queues(&self, stage: &Stage) -> Result<Vec<QueueStatus>> {
        self.deployed(stage)?;
        self.control.get(&app_path(&app_key(stage)?, "/queues")).await
    }

    async fn peek(&self, stage: &Stage, peek: Peek) -> Result<Vec<Peeked>> {
        let dead = if peek.dead { "&dead=1" } else { "" };
        let rest = format!("messages?limit={}{dead}", peek.limit);
        self.control.get(&self.queue_path(stage, &peek.queue, &rest)?).await
    }

    async fn redrive(&self, stage: &Stage, queue: &str) -> Result<u64> {
        self.change("POST", &self.queue_path(stage, queue, "redrive")?).await
    }

    async fn purge(&self, stage: &Stage, queue: &str, dead: bool) -> Result<u64> {
        let rest = if dead { "messages?dead=1" } else { "messages" };
        self.change("DELETE", &self.queue_path(stage, queue, rest)?).await
    }
}
