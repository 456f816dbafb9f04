//! What SQS says
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html>).

use serde_json::Value;
use xcloud_core::{Error, ErrorKind};
use xcloud_serve::client::Reply;

use super::message::Entry;

/// What became of one message.
pub(super) enum Receipt {
    /// It is stored under this id.
    Stored(String),
    Refused(Failure),
}

/// Why something was not stored.
pub(super) struct Failure {
    pub(super) error: Error,
    /// Another try may help.
    pub(super) again: bool,
    /// Other credentials may help.
    pub(super) credentials: bool,
}

impl Failure {
    /// What did not answer may do so the next time.
    pub(super) fn by_kind(error: Error) -> Self {
        let again = error.kind() == ErrorKind::Unavailable;
        Self { error, again, credentials: false }
    }
}

/// Reads the answer to a request for these messages; their receipts are in the same order.
///
/// As values, not into types of ours: the program has the code for those already.
pub(super) fn receipts(queue: &str, entries: &[Entry<'_>], reply: &Reply) -> Result<Vec<Receipt>, Failure> {
    let value: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if reply.status != 200 {
        // `com.amazonaws.sqs#QueueDoesNotExist`
        let code = text(&value, "__type").rsplit('#').next().unwrap_or_default();
        return Err(failure(queue, reply.status, code, message(&value)));
    }
    if let [entry] = entries {
        return Ok(vec![receipt(queue, entry, &value)]);
    }
    let of =
        |list: &str, id: &str| value[list].as_array().into_iter().flatten().find(|one| text(one, "Id") == id);
    let one = |(at, entry): (usize, &Entry<'_>)| {
        let id = at.to_string();
        match (of("Failed", &id), of("Successful", &id)) {
            (Some(refused), _) => {
                let status = if refused["SenderFault"] == true { 400 } else { 500 };
                Receipt::Refused(failure(queue, status, text(refused, "Code"), message(refused)))
            }
            (None, Some(stored)) => receipt(queue, entry, stored),
            (None, None) => Receipt::Refused(unclear("SQS did not say what became of a message")),
        }
    };
    Ok(entries.iter().enumerate().map(one).collect())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// It is written both ways.
fn message(value: &Value) -> &str {
    let small = text(value, "message");
    if small.is_empty() { text(value, "Message") } else { small }
}

/// Whether what SQS has is what was sent.
fn receipt(queue: &str, entry: &Entry<'_>, stored: &Value) -> Receipt {
    let id = text(stored, "MessageId");
    if id.is_empty() {
        return Receipt::Refused(unclear("the answer of SQS is not as documented"));
    }
    if !text(stored, "MD5OfMessageBody").eq_ignore_ascii_case(&crate::md5::hex(entry.body.as_bytes())) {
        let message = format!("the queue {queue} of SQS has stored something else than was sent");
        return Receipt::Refused(unclear(message));
    }
    Receipt::Stored(id.to_owned())
}

/// It may be stored, and it may not: sent again, it is at least once.
fn unclear(message: impl Into<String>) -> Failure {
    Failure { error: Error::unavailable(message), again: true, credentials: false }
}

/// A code of SQS or of AWS's front door, in our terms. Wrong permissions and queues are the deployment's faults and no
/// concern of whoever called the function, so they are [`ErrorKind::Config`]: 500, and the log has the rest.
fn failure(queue: &str, status: u16, code: &str, message: &str) -> Failure {
    // The older protocol's names have prefixes, and so do the codes of entries.
    let name = code.rsplit('.').next().unwrap_or(code).trim_end_matches("Exception");
    let (kind, what) = match name {
        "AccessDenied" | "AuthorizationError" | "Forbidden" | "KmsAccessDenied" => {
            (ErrorKind::Config, format!("this function may not do sqs:SendMessage on the queue {queue}"))
        }
        "QueueDoesNotExist" | "NonExistentQueue" | "QueueDeletedRecently" => {
            (ErrorKind::Config, format!("the queue {queue} does not exist in SQS"))
        }
        _ if is_about_credentials(name) => {
            (ErrorKind::Config, format!("SQS does not take this function's AWS credentials ({code})"))
        }
        _ if is_too_large(name, message) => {
            (ErrorKind::PayloadTooLarge, format!("a message is larger than the queue {queue} of SQS takes"))
        }
        _ if status >= 500 || status == 429 || status == 408 || is_throttling(name) => {
            (ErrorKind::Unavailable, format!("SQS did not store in the queue {queue}: {status} {code}"))
        }
        _ => (ErrorKind::Handler, format!("SQS refused a message for the queue {queue}: {status} {code}")),
    };
    let error = Error::new(kind, what);
    let error = if message.is_empty() { error } else { error.with("sqs", shortened(message)) };
    Failure { error, again: kind == ErrorKind::Unavailable, credentials: is_about_credentials(name) }
}

fn is_about_credentials(name: &str) -> bool {
    let names = [
        "ExpiredToken",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "SignatureDoesNotMatch",
        "InvalidSignature",
    ];
    let more = [
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "InvalidSecurity",
        "RequestExpired",
        "OptInRequired",
    ];
    names.contains(&name) || more.contains(&name)
}

fn is_throttling(name: &str) -> bool {
    let names =
        ["RequestThrottled", "Throttling", "ThrottlingError", "Throttled", "KmsThrottled", "TooManyRequests"];
    names.contains(&name) || name == "OverLimit" || name == "ServiceUnavailable"
}

fn is_too_large(name: &str, message: &str) -> bool {
    matches!(name, "MessageTooLong" | "BatchRequestTooLong")
        || (matches!(name, "InvalidParameterValue" | "InvalidParameter")
            && message.contains("must be shorter than"))
}

/// For the log: a line, not a page.
fn shortened(message: &str) -> &str {
    let end = message.char_indices().nth(300).map_or(message.len(), |(at, _)| at);
    &message[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, code: &str, message: &str) -> (ErrorKind, bool, bool) {
        let Failure { error, again, credentials } = failure("orders", status, code, message);
        assert!(!error.message().is_empty());
        (error.kind(), again, credentials)
    }

    #[test]
    fn a_code_is_what_can_be_done_about_it() {
        use ErrorKind::{Config, Handler, PayloadTooLarge, Unavailable};
        assert_eq!(kind(403, "AccessDeniedException", ""), (Config, false, false));
        assert_eq!(kind(400, "QueueDoesNotExist", ""), (Config, false, false));
        assert_eq!(kind(400, "AWS.SimpleQueueService.NonExistentQueue", ""), (Config, false, false));
        assert_eq!(kind(403, "ExpiredToken", ""), (Config, false, true));
        assert_eq!(kind(403, "UnrecognizedClientException", ""), (Config, false, true));
        assert_eq!(kind(403, "InvalidSignatureException", ""), (Config, false, true));
        assert_eq!(kind(400, "ThrottlingException", ""), (Unavailable, true, false));
        assert_eq!(kind(403, "RequestThrottled", ""), (Unavailable, true, false));
        assert_eq!(kind(429, "", ""), (Unavailable, true, false));
        assert_eq!(kind(500, "InternalFailure", ""), (Unavailable, true, false));
        assert_eq!(kind(503, "", ""), (Unavailable, true, false));
        let short = "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.";
        assert_eq!(kind(400, "InvalidParameterValue", short), (PayloadTooLarge, false, false));
        assert_eq!(kind(400, "InvalidMessageContents", ""), (Handler, false, false));
    }

    #[test]
    fn action_and_queue_are_named() {
        let denied = failure("orders", 403, "AccessDenied", "User: x is not authorized").error;
        assert!(
            denied.message().contains("sqs:SendMessage") && denied.message().contains("orders"),
            "{denied}"
        );
        assert!(denied.to_string().contains("not authorized") && denied.public_message() == "internal error");
        let gone = failure("orders", 400, "QueueDoesNotExist", "").error;
        assert_eq!(gone.message(), "the queue orders does not exist in SQS");
    }
}
