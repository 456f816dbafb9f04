//! The aws room: AWS Lambda.
