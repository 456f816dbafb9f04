//! The azure room: Azure Functions custom handlers.
