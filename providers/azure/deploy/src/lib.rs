//! Packages and deployment for Azure Functions custom handlers.
