//! Packages and deployment for Alibaba Function Compute.
