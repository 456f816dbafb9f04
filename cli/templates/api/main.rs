//! An API: an axum router, mounted whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use xcloud::{App, Result};

/// A note.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
struct Note {
    text: String,
}

/// The notes of this instance: gone when it ends, unknown to the next. What must last belongs in a database.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<BTreeMap<String, Note>>>);

impl Notes {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Note>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn list(State(notes): State<Notes>) -> Json<BTreeMap<String, Note>> {
    Json(notes.with(|notes| notes.clone()))
}

async fn read(State(notes): State<Notes>, Path(id): Path<String>) -> Result<Json<Note>, StatusCode> {
    notes.with(|notes| notes.get(&id).cloned()).map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn write(State(notes): State<Notes>, Path(id): Path<String>, Json(note): Json<Note>) -> StatusCode {
    match notes.with(|notes| notes.insert(id, note)) {
        Some(_) => StatusCode::OK,
        None => StatusCode::CREATED,
    }
}

fn router() -> Router {
    Router::new()
        .route("/notes", get(list))
        .route("/notes/{id}", get(read).put(write))
        .with_state(Notes::default())
}

fn main() -> Result<()> {
    // Handlers with `#[handler]` can stand beside it: `.functions(xcloud::functions![…])`. Their routes come first.
    xcloud::run(App::new().http(router()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_note_is_kept_and_read_back() {
        let notes = State(Notes::default());
        let note = Note { text: "milk".to_owned() };
        let id = || Path("n-1".to_owned());
        assert_eq!(read(notes.clone(), id()).await.unwrap_err(), StatusCode::NOT_FOUND);
        assert_eq!(write(notes.clone(), id(), Json(note.clone())).await, StatusCode::CREATED);
        assert_eq!(read(notes, id()).await.unwrap().0, note);
    }
}
