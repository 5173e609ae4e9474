//! One request: its bound, its error in words, and what became of a write.

use super::{KubeApi, field_manager};
use crate::api::{FIELD_MANAGER, FINALIZER};
use crate::kubernetes::port::{ApiError, Commit};
use crate::kubernetes::words;
use kube::api::{Patch, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;
use std::future::Future;

impl ApiError {
    /// A request that got no answer, or was not sent.
    pub fn new(action: &str, message: impl Into<String>) -> Self {
        Self { action: action.to_owned(), status: None, message: message.into() }
    }

    fn of(action: &str, error: &kube::Error) -> Self {
        let status = match error {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        };
        Self { action: action.to_owned(), status, message: words::told(error) }
    }
}

/// A write that lacks the resourceVersion would go through whatever is stored.
fn without_version(action: String) -> ApiError {
    ApiError { action, status: None, message: "the object has no resourceVersion".to_owned() }
}

/// What became of a write that ended in this error.
fn outcome<T>(error: ApiError) -> Commit<T> {
    match error.status {
        Some(404 | 409 | 410) => Commit::Conflict,
        // Too slow or too busy: a person need not act, and reading again is safe in every case.
        Some(408 | 429) => Commit::Unknown(error),
        Some(400..=499) => Commit::Refused(error),
        Some(_) | None => Commit::Unknown(error),
    }
}

impl KubeApi {
    /// Carries out one request within the bound.
    pub(super) async fn bounded<T>(
        &self,
        action: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiError> {
        match tokio::time::timeout(self.limit, request).await {
            Ok(result) => result.map_err(|error| ApiError::of(action, &error)),
            Err(_elapsed) => {
                Err(ApiError::new(action, format!("no answer within {} s", self.limit.as_secs_f64())))
            }
        }
    }

    /// A write that carries the resourceVersion it was decided from.
    pub(super) async fn commit<T>(
        &self,
        action: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Commit<T> {
        match self.bounded(action, request).await {
            Ok(object) => Commit::Committed(Box::new(object)),
            Err(error) => outcome(error),
        }
    }

    /// Replaces the status, if the resourceVersion is still that of `object`.
    pub(super) async fn commit_status<K>(&self, kind: &str, object: &K) -> Commit<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
        K::DynamicType: Default,
    {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let action = format!("write the status of {kind} {namespace}/{name}");
        if object.resource_version().is_none() {
            return Commit::Refused(without_version(action));
        }
        let api: Api<K> = self.api(&namespace);
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        self.commit(&action, api.replace_status(&name, &parameters, object)).await
    }

    /// Adds or removes our finalizer, if the resourceVersion is still that of `object`. A merge patch: what does not match is
    /// a conflict (409), while a JSON patch with `test` answers 422 for the same, like an invalid object.
    pub(super) async fn commit_finalizer<K>(&self, kind: &str, object: &K, present: bool) -> Commit<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let action = format!("write the finalizer of {kind} {namespace}/{name}");
        let Some(resource_version) = object.resource_version() else {
            return Commit::Refused(without_version(action));
        };
        let mut finalizers: Vec<&str> =
            object.finalizers().iter().map(String::as_str).filter(|name| *name != FINALIZER).collect();
        if present {
            finalizers.push(FINALIZER);
        }
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": resource_version, "finalizers": finalizers},
        }));
        let api: Api<K> = self.api(&namespace);
        self.commit(&action, api.patch(&name, &field_manager(), &patch)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_clear_is_unknown() {
        let of = |status: Option<u16>| {
            let mut error = ApiError::new("write", "x");
            error.status = status;
            match outcome::<()>(error) {
                Commit::Committed(_) => "committed",
                Commit::Conflict => "conflict",
                Commit::Unknown(_) => "unknown",
                Commit::Refused(_) => "refused",
            }
        };
        for (status, expected) in [
            (None, "unknown"),
            (Some(400), "refused"),
            (Some(403), "refused"),
            (Some(404), "conflict"),
            (Some(409), "conflict"),
            (Some(410), "conflict"),
            (Some(422), "refused"),
            (Some(429), "unknown"),
            (Some(500), "unknown"),
            (Some(503), "unknown"),
            (Some(504), "unknown"),
        ] {
            assert_eq!(of(status), expected, "{status:?}");
        }
    }
}
