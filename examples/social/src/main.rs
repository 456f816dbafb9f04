//! A pipeline: posts are taken over HTTP and put on a queue; `analyze` finds out what they say and keeps that in a
//! table; HTTP reads it back.

mod analysis;
mod post;

use std::time::{SystemTime, UNIX_EPOCH};

use xcloud::{
    App, BatchOutcome, Context, Error, Http, Json, Queue, Result, Sender, Table, handler, http::StatusCode,
};

use self::post::{Accepted, Insight, Latency, Page, Post, Taken};

/// Insights on one page, where the question does not say.
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 500;

/// Takes a post. 202: it is on the queue; the insight comes later.
#[handler(http = "POST /posts", sends = "posts")]
async fn take_post(post: Http<Post>, posts: Sender<Taken>) -> Result<(StatusCode, Json<Accepted>)> {
    post.check()?;
    let taken = Taken { post: post.into_body(), sent_ms: now_ms() };
    posts.send(&taken).await?;
    let accepted = Accepted { id: taken.post.id, status: "accepted", sent_ms: taken.sent_ms };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// Finds out what posts say. A post that comes twice gives the same row twice, so nothing is counted double.
#[handler(queue = "posts", batch = 10, tables = "insights")]
async fn analyze(posts: Queue<Taken>, insights: Table<Insight>, cx: Context) -> Result<BatchOutcome> {
    let mut outcome = BatchOutcome::new();
    for message in &posts {
        let insight = insight(message.body());
        if let Err(error) = insights.put(&insight.id, &insight).await {
            outcome.fail(message.id(), error);
            continue;
        }
        cx.log()
            .field("post", insight.id.as_str())
            .field("latency_ms", insight.latency_ms())
            .info("analyzed");
    }
    Ok(outcome)
}

fn insight(taken: &Taken) -> Insight {
    let Taken { post, sent_ms } = taken;
    let keywords = analysis::keywords(&post.text);
    let (mood, score) = analysis::sentiment(&post.text);
    let recommendation = analysis::recommendation(mood, score, &keywords);
    let (id, author) = (post.id.clone(), post.author.clone());
    Insight { id, author, keywords, mood, score, recommendation, sent_ms: *sent_ms, stored_ms: now_ms() }
}

/// What is known about a post; 404 until it is analyzed.
#[handler(http = "GET /posts/{id}", tables = "insights")]
async fn read_post(request: Http, insights: Table<Insight>) -> Result<Json<Insight>> {
    let id: String = request.param("id")?;
    let unknown = || Error::not_found(format!("post {id} is not known, or not analyzed yet"));
    Ok(Json(insights.get(&id).await?.ok_or_else(unknown)?))
}

/// Insights in the order of their ids: `?prefix=…&after=…&limit=…`.
#[handler(http = "GET /insights", tables = "insights")]
async fn list_insights(request: Http, insights: Table<Insight>) -> Result<Json<Page>> {
    let query = request.query();
    let (prefix, after) = (query.get("prefix").unwrap_or_default(), query.get("after").unwrap_or_default());
    let limit = query.parse("limit")?.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let rows = insights.scan_after(&prefix, &after, limit).await?;
    let next = if rows.len() == limit { rows.last().map(|row| row.key.clone()) } else { None };
    Ok(Json(Page { insights: rows.into_iter().map(|row| row.value).collect(), next }))
}

/// From event to stored, over every post whose id begins with `?prefix=…`.
#[handler(http = "GET /latency", tables = "insights")]
async fn latency(request: Http, insights: Table<Insight>) -> Result<Json<Latency>> {
    let prefix = request.query().get("prefix").unwrap_or_default().into_owned();
    let (mut times, mut after) = (Vec::new(), String::new());
    loop {
        let rows = insights.scan_after(&prefix, &after, LARGEST_PAGE).await?;
        times.extend(rows.iter().map(|row| row.value.latency_ms()));
        match rows.last() {
            Some(last) if rows.len() == LARGEST_PAGE => after = last.key.clone(),
            _ => return Ok(Json(Latency::of(times))),
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn main() -> Result<()> {
    let functions = xcloud::functions![take_post, analyze, read_post, list_insights, latency];
    xcloud::run(App::new().functions(functions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::post::Mood;
    use xcloud::{ErrorKind, Message};

    fn post(id: &str, text: &str) -> Post {
        Post { id: id.to_owned(), author: "ada".to_owned(), text: text.to_owned() }
    }

    fn get(query: &str) -> Http {
        let request = xcloud::http::Request::get(format!("/insights?{query}")).body(()).unwrap();
        Http::with_request(request, ())
    }

    #[tokio::test]
    async fn a_post_goes_from_http_over_the_queue_into_the_table_and_back() {
        let (posts, sent) = Sender::for_test();
        let (status, Json(accepted)) =
            take_post(Http::new(post("p-1", "I love the new parcel app")), posts).await.unwrap();
        assert_eq!((status, accepted.status), (StatusCode::ACCEPTED, "accepted"));
        let taken: Taken = serde_json::from_slice(&sent.lock().unwrap()[0]).unwrap();

        let insights = Table::for_test();
        let batch = Queue::new(vec![Message::new("m-1", taken)]);
        let outcome = analyze(batch, insights.clone(), Context::for_test()).await.unwrap();
        assert!(outcome.failed().is_empty());

        let Json(page) = list_insights(get("prefix=p-"), insights.clone()).await.unwrap();
        assert_eq!((page.insights.len(), page.next), (1, None));
        let insight = &page.insights[0];
        assert_eq!((insight.mood, insight.keywords[0].as_str()), (Mood::Positive, "app"));
        assert!(insight.stored_ms >= insight.sent_ms && insight.sent_ms == accepted.sent_ms);
        let Json(latency) = latency(get(""), insights).await.unwrap();
        assert_eq!(latency.posts, 1);
    }

    #[tokio::test]
    async fn pages_follow_each_other() {
        let insights = Table::for_test();
        for id in ["a", "b", "c"] {
            insights.put(id, &insight(&Taken { post: post(id, "x"), sent_ms: 1 })).await.unwrap();
        }
        let Json(first) = list_insights(get("limit=2"), insights.clone()).await.unwrap();
        assert_eq!(first.next.as_deref(), Some("b"));
        let Json(second) = list_insights(get("limit=2&after=b"), insights).await.unwrap();
        assert_eq!((second.insights[0].id.as_str(), second.next), ("c", None));
    }

    #[tokio::test]
    async fn a_post_that_breaks_a_rule_is_not_sent() {
        let (posts, sent) = Sender::for_test();
        let error = take_post(Http::new(post("a/b", "x")), posts).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unprocessable);
        assert!(sent.lock().unwrap().is_empty());
    }
}
