use std::sync::OnceLock;

use super::*;
use crate::fake::{Act, service};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn handed_out(key: &str, minutes: i64) -> String {
    let seconds = u64::try_from(minutes.abs() * 60).unwrap();
    let now = SystemTime::now();
    let end =
        if minutes < 0 { now - Duration::from_secs(seconds) } else { now + Duration::from_secs(seconds) };
    let end = xcloud_core::text::rfc3339(end);
    format!(r#"{{"AccessKeyId":"{key}","SecretAccessKey":"s-{key}","Token":"t-{key}","Expiration":"{end}"}}"#)
}

/// A source whose environment leads to a service; the environment of a test has to be a function.
macro_rules! at {
    ($port:expr) => {{
        static URL: OnceLock<String> = OnceLock::new();
        URL.set(format!("http://127.0.0.1:{}/creds", $port)).unwrap();
        Source::new(|name| match name {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI" => URL.get().cloned(),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN" => Some("canary-token\n".to_owned()),
            _ => None,
        })
    }};
}

async fn key(source: &Source) -> Result<String> {
    Ok(source.get(soon()).await?.access_key_id.clone())
}

#[tokio::test]
async fn keys_in_the_environment_come_first() {
    let source = Source::new(|name| match name {
        "AWS_ACCESS_KEY_ID" => Some("AKID".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some("canary".to_owned()),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI" => Some("http://127.0.0.1:1/".to_owned()),
        _ => None,
    });
    let credentials = source.get(soon()).await.unwrap();
    let Identity { key, secret, token } = credentials.identity();
    assert_eq!((key, secret, token), ("AKID", "canary", None));
    assert!(!source.forget().await);
}

#[tokio::test]
async fn what_is_handed_out_is_kept_until_it_is_about_to_end() {
    let answer = |key: &str, minutes| Act::Answer(200, handed_out(key, minutes));
    let (port, seen) = service(vec![answer("a", 4), answer("b", 60), answer("c", 60)]).await;
    let source = at!(port);
    assert_eq!(key(&source).await.unwrap(), "a");
    // `a` ends in less than five minutes.
    assert_eq!(key(&source).await.unwrap(), "b");
    assert_eq!(key(&source).await.unwrap(), "b");
    assert!(source.forget().await);
    assert_eq!(key(&source).await.unwrap(), "c");
    let asked = seen.all();
    assert_eq!(asked.len(), 3);
    assert!(
        asked[0].1.starts_with("GET /creds HTTP/1.1") && asked[0].1.contains("authorization: canary-token")
    );
}

#[tokio::test]
async fn credentials_that_have_not_ended_are_used_while_no_others_can_be_had() {
    let refusal = r#"{"Code":"Throttled","Message":"slow down"}"#.to_owned();
    let refused = || Act::Answer(429, refusal.clone());
    let (port, _) = service(vec![Act::Answer(200, handed_out("a", 4)), refused()]).await;
    let source = at!(port);
    assert_eq!(key(&source).await.unwrap(), "a");
    assert_eq!(key(&source).await.unwrap(), "a");
    let (port, _) = service(vec![Act::Answer(200, handed_out("a", -1)), refused()]).await;
    let source = at!(port);
    assert_eq!(key(&source).await.unwrap(), "a");
    let error = key(&source).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("429 Throttled: slow down"), "{error}");
}

#[tokio::test]
async fn one_call_asks_and_the_others_wait() {
    let (port, seen) = service(vec![Act::Answer(200, handed_out("a", 60))]).await;
    let source = at!(port);
    let (one, two, three) = tokio::join!(key(&source), key(&source), key(&source));
    assert_eq!([one.unwrap(), two.unwrap(), three.unwrap()], ["a", "a", "a"]);
    assert_eq!(seen.all().len(), 1);
}

#[tokio::test]
async fn nothing_is_asked_of_a_stranger_in_plain_text() {
    for url in ["http://example.com/", "http://169.254.169.254/", "http://neighbour/"] {
        assert!(!trusted(&Origin::parse(url).unwrap().0), "{url}");
    }
    for url in [
        "https://example.com/",
        "http://127.0.0.1:9001/",
        "http://169.254.170.23/v1",
        "http://[fd00:ec2::23]/",
    ] {
        assert!(trusted(&Origin::parse(url).unwrap().0), "{url}");
    }
    let none = Source::new(|_| None).get(soon()).await.unwrap_err();
    assert!(none.kind() == ErrorKind::Config && none.message().contains("AWS_ACCESS_KEY_ID"), "{none}");
    let stranger = Source::new(|name| {
        (name == "AWS_CONTAINER_CREDENTIALS_FULL_URI").then(|| "http://example.com/x".to_owned())
    });
    assert_eq!(stranger.get(soon()).await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_secret_is_in_no_output() {
    let source = Source::new(|name| Some(format!("canary\n{name}")));
    let error = source.get(soon()).await.unwrap_err();
    assert!(error.message().contains("line break"), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    let (port, _) = service(vec![Act::Answer(200, handed_out("a", 60))]).await;
    let credentials = at!(port).get(soon()).await.unwrap();
    let shown = format!("{credentials:?} {:?}", credentials.identity());
    assert!(!shown.contains("s-a") && !shown.contains("t-a"), "{shown}");
    // What looks like credentials and is none of them.
    let (port, _) =
        service(vec![Act::Answer(200, r#"{"AccessKeyId":"a","SecretAccessKey":["canary"]}"#.into())]).await;
    let error = key(&at!(port)).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
}
