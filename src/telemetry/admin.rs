//! The admin server: `/livez`, `/readyz`, `/metrics`.

use super::metrics::Metrics;
use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// What this process still lacks until it can do its work. A standby that could lead is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<String>>>);

impl Readiness {
    /// Something is missing from now on.
    pub fn lacks(&self, what: impl Into<String>) {
        self.missing().insert(what.into());
    }

    /// It is there now.
    pub fn has(&self, what: &str) {
        self.missing().remove(what);
    }

    /// What is missing, in words; empty when ready.
    pub fn list(&self) -> Vec<String> {
        self.missing().iter().cloned().collect()
    }

    fn missing(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Pages {
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

/// Listens on `address` and serves until the process ends. Fails where it cannot listen.
pub async fn serve(address: SocketAddr, readiness: Readiness, metrics: Arc<Metrics>) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another address with --listen"))?;
    let pages = Router::new()
        // Answers as long as the process does: MySQL or the API server being away is no reason to be restarted.
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Pages { readiness, metrics });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, pages).await {
            tracing::error!(%error, "the admin server ended");
        }
    });
    Ok(())
}

async fn ready(State(pages): State<Pages>) -> impl IntoResponse {
    let missing = pages.readiness.list();
    if missing.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join("; ")))
    }
}

async fn metrics_text(State(pages): State<Pages>) -> impl IntoResponse {
    match pages.metrics.text() {
        Ok(text) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
            text,
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            format!("{error}\n"),
        ),
    }
}
