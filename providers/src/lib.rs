//! xcloud
