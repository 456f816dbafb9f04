//! Answers as each service writes them.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::xml::{element, escape};
use super::{Call, Failure, Outcome, Reply};

/// What a client gets.
pub(in super::super) fn respond(call: &Call, outcome: Outcome) -> Response<Bytes> {
    match outcome {
        Ok(Reply::Json(status, value)) => made(status, "application/json", value.to_string()),
        Ok(Reply::Xml(text)) => made(200, "application/xml", text),
        Ok(Reply::Empty(status)) => made(status, "", String::new()),
        Ok(Reply::Result(inner)) => {
            let name = &call.operation;
            let request = element("ResponseMetadata", &element("RequestId", "0"));
            let result = element(&format!("{name}Result"), &inner);
            made(200, "text/xml", element(&format!("{name}Response"), &format!("{result}{request}")))
        }
        Err(failure) => failed(call, &failure),
    }
}

fn failed(call: &Call, failure: &Failure) -> Response<Bytes> {
    let Failure { status, code, message } = failure;
    let inner = format!("{}{}", element("Code", code), element("Message", &escape(message)));
    match call.service.as_str() {
        "iam" | "sns" | "sts" => {
            let side = if *status >= 500 { "Receiver" } else { "Sender" };
            let error = element("Error", &format!("{}{inner}", element("Type", side)));
            made(*status, "text/xml", element("ErrorResponse", &error))
        }
        "s3" => made(*status, "application/xml", element("Error", &inner)),
        "lambda" | "scheduler" => {
            let mut response = made(*status, "application/json", json!({ "message": message }).to_string());
            header(&mut response, "x-amzn-errortype", code);
            response
        }
        _ => {
            // SQS has its codes of the query days beside those of its model.
            let (kind, old) = code.split_once('|').unwrap_or((code, code));
            let body = json!({ "__type": format!("com.amazonaws#{kind}"), "message": message });
            let mut response = made(*status, "application/x-amz-json-1.0", body.to_string());
            if call.service == "sqs" {
                header(&mut response, "x-amzn-query-error", &format!("{old};Sender"));
            }
            response
        }
    }
}

fn made(status: u16, kind: &str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !kind.is_empty() {
        header(&mut response, "content-type", kind);
    }
    response
}

fn header(response: &mut Response<Bytes>, name: &'static str, value: &str) {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
}

/// How the service of a call says that it is asked too often.
pub fn throttled(call: &Call) -> Response<Bytes> {
    let (status, code) = match call.service.as_str() {
        "lambda" => (429, "TooManyRequestsException"),
        "scheduler" => (429, "ThrottlingException"),
        "s3" => (503, "SlowDown"),
        "sqs" => (403, "RequestThrottled|RequestThrottled"),
        "tagging" => (429, "ThrottledException"),
        "iam" | "sts" | "sns" => (400, "Throttling"),
        _ => (400, "ThrottlingException"),
    };
    failed(call, &Failure::new(status, code, "Rate exceeded"))
}

/// How it says that it has failed itself.
pub fn internal(call: &Call) -> Response<Bytes> {
    let (status, code) = match call.service.as_str() {
        "lambda" => (500, "ServiceException"),
        "iam" => (500, "ServiceFailure"),
        "s3" | "sns" => (500, "InternalError"),
        "logs" => (503, "ServiceUnavailableException"),
        "dynamodb" => (500, "InternalServerError"),
        "scheduler" => (500, "InternalServerException"),
        "tagging" => (500, "InternalServiceException"),
        _ => (500, "InternalFailure"),
    };
    failed(call, &Failure::new(status, code, "We encountered an internal error. Please try again."))
}
