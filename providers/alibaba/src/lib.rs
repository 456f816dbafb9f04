//! The alibaba room: Alibaba Function Compute.
