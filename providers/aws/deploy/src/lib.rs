//! Packages and deployment for AWS Lambda.
