//! `Topic<T>`: one message of a publish-subscribe topic.

/// One published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic<T> {
    /// The platform's id of the message.
    pub id: String,
    /// The decoded body.
    pub body: T,
    /// The publisher's attributes.
    pub attributes: Vec<(String, String)>,
}
