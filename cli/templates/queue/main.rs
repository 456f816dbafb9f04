//! Takes jobs over HTTP and does them from a queue.

use serde::{Deserialize, Serialize};
use xcloud::{App, BatchOutcome, Context, Error, Http, Json, Queue, Result, Sender, handler};

/// A picture to resize: what a caller sends, and the message that it becomes.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Job {
    picture: String,
    width: u32,
}

/// What the caller gets.
#[derive(Serialize)]
struct Accepted {
    picture: String,
}

/// An answer of 200 means that the job is stored: it is done even if this instance ends now.
#[handler(http = "POST /jobs", sends = "jobs")]
async fn submit(job: Http<Job>, jobs: Sender<Job>) -> Result<Json<Accepted>> {
    if job.picture.is_empty() {
        return Err(Error::unprocessable("picture is empty"));
    }
    jobs.send(job.body()).await?;
    Ok(Json(Accepted { picture: job.into_body().picture }))
}

/// Messages come in batches. One that fails comes again, and the others do not, where the platform can tell them
/// apart; elsewhere the whole batch comes again, so doing a job twice must be harmless.
#[handler(queue = "jobs", batch = 10)]
async fn resize(jobs: Queue<Job>, cx: Context) -> Result<BatchOutcome> {
    let mut outcome = BatchOutcome::new();
    for message in jobs.iter() {
        match height(message.body()) {
            Ok(height) => cx
                .log()
                .field("picture", message.picture.as_str())
                .info(format!("resized to {} x {height}", message.width)),
            Err(error) => outcome.fail(message.id(), error),
        }
    }
    Ok(outcome)
}

/// The work itself: three quarters of the width. An error of this kind is put aside at once; others are retried.
fn height(job: &Job) -> Result<u32> {
    if job.width == 0 {
        return Err(Error::unprocessable("width is 0"));
    }
    Ok(job.width / 4 * 3)
}

fn main() -> Result<()> {
    xcloud::run(App::new().functions(xcloud::functions![submit, resize]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcloud::{ErrorKind, Message};

    fn job(picture: &str, width: u32) -> Job {
        Job { picture: picture.to_owned(), width }
    }

    #[tokio::test]
    async fn a_job_is_sent() {
        let (jobs, sent) = Sender::for_test();
        let Json(accepted) = submit(Http::new(job("cat.png", 800)), jobs).await.unwrap();
        assert_eq!(accepted.picture, "cat.png");
        let message: Job = serde_json::from_slice(&sent.lock().unwrap()[0]).unwrap();
        assert_eq!(message, job("cat.png", 800));
    }

    #[tokio::test]
    async fn a_job_without_a_picture_is_refused_and_not_sent() {
        let (jobs, sent) = Sender::for_test();
        let error = submit(Http::new(job("", 800)), jobs).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unprocessable);
        assert!(sent.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_bad_job_fails_alone() {
        let batch = vec![Message::new("m-1", job("cat.png", 800)), Message::new("m-2", job("dog.png", 0))];
        let outcome = resize(Queue::new(batch), Context::for_test()).await.unwrap();
        assert_eq!(outcome.failed().iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["m-2"]);
    }
}
