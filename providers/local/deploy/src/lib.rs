//! Packages and deployment for the xcloud host on this machine.
