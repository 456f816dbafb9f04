//! What the SDK reports, in the terms of [`Error`]: what was asked, of what, what AWS said, and what to do next.

use std::error::Error as StdError;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use xcloud_core::{Error, ErrorKind};

/// How long a failure is worth trying again that passes by itself: a role that is not known everywhere yet, an update
/// on its way. IAM takes up to half a minute (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html>).
const PASSES: Duration = Duration::from_secs(90);
/// How long throttling is.
const THROTTLED: Duration = Duration::from_secs(180);

/// A failure by its code and a part of its message, as services answer what passes by itself. An empty part is any.
///
/// Some are from the API reference, the others are what people have met; docs/limits.md says which we saw ourselves.
const PASSING: &[(&str, &str)] = &[
    ("InvalidParameterValueException", "cannot be assumed by Lambda"),
    ("InvalidParameterValueException", "does not have permissions to call"),
    ("InvalidParameterValueException", "is not authorized to perform"),
    ("InvalidParameterValueException", "Cannot access stream"),
    ("ValidationException", "to assume the role"),
    ("ValidationException", "must allow AWS EventBridge Scheduler to assume"),
    ("InvalidArgument", "Unable to validate the following destination configurations"),
    ("ResourceConflictException", "in progress"),
    ("ResourceConflictException", "currently in the following state: Pending"),
    ("ResourceInUseException", ""),
    ("ConcurrentModification", ""),
    ("OperationAborted", ""),
    ("DeleteConflict", ""),
    ("QueueDeletedRecently", ""),
];

const THROTTLES: &[&str] = &[
    "TooManyRequestsException",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "ProvisionedThroughputExceededException",
    "LimitExceededException.Throttled",
];
const NO_CREDENTIALS: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "InvalidAccessKeyId",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "RequestExpired",
    "AuthFailure",
];
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AuthorizationError",
    "NotAuthorized",
];
const QUOTAS: &[&str] = &[
    "CodeStorageExceededException",
    "LimitExceededException",
    "LimitExceeded",
    "ServiceQuotaExceededException",
    "ResourceLimitExceededException",
    "TooManyBuckets",
    "RequestEntityTooLargeException",
];
const ABSENT: &[&str] = &[
    "ResourceNotFoundException",
    "NoSuchEntity",
    "NoSuchBucket",
    "NotFound",
    "NotFoundException",
    "QueueDoesNotExist",
    "NonExistentQueue",
];
const EXISTS: &[&str] = &[
    "EntityAlreadyExists",
    "ResourceAlreadyExistsException",
    "BucketAlreadyOwnedByYou",
    "QueueAlreadyExists",
    "QueueNameExists",
];

/// Makes an [`Error`] of what a call of `action` on `what` came to.
pub(crate) fn failed<'a, E>(
    action: &'a str,
    what: &'a str,
) -> impl FnOnce(SdkError<E, HttpResponse>) -> Error + use<'a, E>
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    move |error| match &error {
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or_default().to_owned();
            let mut message = service.err().message().unwrap_or_default().to_owned();
            let status = service.raw().status().as_u16();
            if code.is_empty() && message.is_empty() {
                // Not the service's word, but an answer that could not be read: the SDK says why.
                message = chain(service.err());
            }
            answered(action, what, status, &code, &message)
        }
        SdkError::ResponseError(_) | SdkError::TimeoutError(_) => {
            Error::unavailable(format!("{action} on {what}: {}", chain(&error)))
        }
        _ => not_sent(action, what, chain(&error)),
    }
}

/// A failure that a service answered.
pub(crate) fn answered(action: &str, what: &str, status: u16, code: &str, message: &str) -> Error {
    let words: Vec<_> = [code, message].into_iter().filter(|word| !word.is_empty()).collect();
    let said = format!("{action} on {what}: {} (HTTP {status})", words.join(": "));
    // SQS says its codes with its own name before them in one of its protocols, and without in the other.
    let code = code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code);
    let any = |codes: &[&str]| codes.contains(&code);
    let passes = PASSING.iter().any(|(c, part)| *c == code && message.contains(part));
    match status {
        _ if passes => Error::unavailable(said),
        _ if any(THROTTLES) || status == 429 => Error::new(ErrorKind::RateLimited, said),
        _ if any(NO_CREDENTIALS) => Error::new(ErrorKind::Unauthorized, said).with("hint", LOG_IN),
        _ if any(DENIED) || status == 403 && code.is_empty() => Error::new(ErrorKind::Forbidden, said).with(
            "hint",
            format!("whoever deploys needs {action} on {what}; `xcloud plan --policy` prints all"),
        ),
        _ if any(QUOTAS) => Error::new(ErrorKind::Config, said)
            .with("hint", "a quota of the account is used up: remove something, or ask AWS for more"),
        _ if any(ABSENT) || status == 404 => Error::not_found(said),
        _ if any(EXISTS) || matches!(status, 409 | 412) => Error::conflict(said),
        500.. => Error::unavailable(said),
        _ => Error::new(ErrorKind::Config, said),
    }
}

const LOG_IN: &str = "log in again (`aws sso login`, new keys), or name another profile with AWS_PROFILE or providers.aws.profile";

/// A call that did not reach its service: no credentials, or no connection.
fn not_sent(action: &str, what: &str, why: String) -> Error {
    let credentials = ["credential", "Credential", "profile", "token provider"];
    if credentials.iter().any(|word| why.contains(word)) {
        let hint =
            "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure sso`";
        return Error::new(ErrorKind::Unauthorized, format!("no AWS credentials: {why}")).with("hint", hint);
    }
    Error::unavailable(format!("{action} on {what}: {why}"))
        .with("hint", "is the network up, and is the region (or `endpoint`) right?")
}

/// An error and its causes, which the SDK keeps apart.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// How long it is worth to try again after this.
pub(crate) fn retries(error: &Error) -> Option<Duration> {
    match error.kind() {
        ErrorKind::Unavailable => Some(PASSES),
        ErrorKind::RateLimited => Some(THROTTLED),
        _ => None,
    }
}

/// What a result is where the thing may be absent.
pub(crate) fn optional<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataError;
    use aws_smithy_types::body::SdkBody;

    #[test]
    fn an_answer_that_could_not_be_read_says_why() {
        let cause = std::io::Error::other("expected a map and found text");
        let unread = GetMetricDataError::unhandled(cause);
        let answer = HttpResponse::new(200.try_into().unwrap(), SdkBody::from("<html>"));
        let error =
            failed("cloudwatch:GetMetricData", "shop-dev-http")(SdkError::service_error(unread, answer));
        let said = error.to_string();
        assert!(said.contains("on shop-dev-http: unhandled error"), "{said}");
        assert!(said.contains("expected a map and found text (HTTP 200)"), "{said}");
        // A refusal without a body, as HEAD has it, stays one.
        let bare = answered("s3:HeadBucket", "b", 403, "", "");
        assert_eq!(bare.kind(), ErrorKind::Forbidden);
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_says_what_to_do() {
        let kind =
            |status, code: &str, message: &str| answered("lambda:X", "f", status, code, message).kind();
        let role = "The role defined for the function cannot be assumed by Lambda.";
        assert_eq!(kind(400, "InvalidParameterValueException", role), ErrorKind::Unavailable);
        assert_eq!(kind(400, "InvalidParameterValueException", "6 GB"), ErrorKind::Config);
        let busy = "An update is in progress for resource: f";
        assert_eq!(kind(409, "ResourceConflictException", busy), ErrorKind::Unavailable);
        assert_eq!(kind(409, "ResourceConflictException", "Function already exist: f"), ErrorKind::Conflict);
        assert_eq!(kind(412, "PreconditionFailedException", "revision"), ErrorKind::Conflict);
        assert_eq!(kind(429, "TooManyRequestsException", ""), ErrorKind::RateLimited);
        assert_eq!(kind(503, "ServiceUnavailable", ""), ErrorKind::Unavailable);
        assert_eq!(kind(403, "ExpiredTokenException", ""), ErrorKind::Unauthorized);
        assert_eq!(kind(400, "AWS.SimpleQueueService.NonExistentQueue", ""), ErrorKind::NotFound);
        let denied = answered("iam:CreateRole", "shop-dev-http", 403, "AccessDenied", "no");
        assert!(denied.kind() == ErrorKind::Forbidden && denied.to_string().contains("iam:CreateRole"));
        assert_eq!(
            not_sent("sts:X", "y", "no Credentials in chain".to_owned()).kind(),
            ErrorKind::Unauthorized
        );
        assert!(retries(&answered("a", "b", 500, "", "")).is_some());
    }
}
