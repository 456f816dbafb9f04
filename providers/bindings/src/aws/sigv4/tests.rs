//! AWS's own test suite; `tests/peers/sqs.rs` compares with botocore at random.

use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    name: String,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
    token: Option<String>,
    signature: String,
}

#[test]
fn the_signatures_are_those_of_awss_test_suite() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../fixtures/sigv4/cases.json")).unwrap();
    assert_eq!(cases.len(), 27);
    // 2015-08-30T12:36:00Z
    let time = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
    let scope = Scope { region: "us-east-1", service: "service" };
    for case in cases {
        let headers: Vec<_> = case.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let request = Request {
            method: &case.method,
            path: &case.path,
            query: &case.query,
            headers: &headers,
            body: case.body.as_bytes(),
        };
        let identity = Identity {
            key: "AKIDEXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            token: case.token.as_deref(),
        };
        let added = sign(&request, identity, scope, time);
        let value = |name: &str| added.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
        assert_eq!(value("x-amz-date"), Some("20150830T123600Z"));
        assert_eq!(value("x-amz-security-token"), case.token.as_deref());
        let authorization = value("authorization").unwrap();
        let credential = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, ";
        assert!(authorization.starts_with(credential), "{authorization}");
        let signature = authorization.rsplit_once("Signature=").unwrap().1;
        assert_eq!(signature, case.signature, "{}: {authorization}", case.name);
    }
}
