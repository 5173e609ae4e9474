//! Events (events.k8s.io/v1). One object each: they are published on transitions only, and kube's `Recorder` would fold two
//! primary changes within six minutes into one series that keeps the first note.

use crate::api::FIELD_MANAGER;
use crate::kubernetes::port::{Notice, Regarding};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Resource;

/// Longest note that the API server takes, in bytes.
const NOTE_LIMIT: usize = 1024;
/// Longest name that leaves room for what `generateName` adds.
const NAME_LIMIT: usize = 200;
/// Longest `reportingInstance` that the API server takes, in bytes.
const INSTANCE_LIMIT: usize = 128;

pub(super) fn event(
    regarding: &Regarding<'_>,
    notice: &Notice,
    reporter: &str,
    now: jiff::Timestamp,
) -> Event {
    let regarding = reference(regarding);
    let name = regarding.name.clone().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            namespace: regarding.namespace.clone(),
            generate_name: Some(format!("{}-", cut(&name, NAME_LIMIT).trim_end_matches(['.', '-']))),
            ..ObjectMeta::default()
        },
        action: Some(notice.action.to_owned()),
        reason: Some(notice.reason.to_owned()),
        type_: Some(if notice.warning { "Warning" } else { "Normal" }.to_owned()),
        note: Some(cut(&notice.note, NOTE_LIMIT).to_owned()),
        event_time: Some(MicroTime(now)),
        regarding: Some(regarding),
        reporting_controller: Some(FIELD_MANAGER.to_owned()),
        reporting_instance: Some(cut(reporter, INSTANCE_LIMIT).to_owned()),
        ..Event::default()
    }
}

fn reference(regarding: &Regarding<'_>) -> ObjectReference {
    match regarding {
        Regarding::Cluster(cluster) => cluster.object_ref(&()),
        Regarding::Takeover(takeover) => takeover.object_ref(&()),
    }
}

/// The longest beginning of `text` that has at most `limit` bytes.
fn cut(text: &str, limit: usize) -> &str {
    let end = text.floor_char_boundary(limit);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(cut(&"ü".repeat(600), 1023).len(), 1022);
    }
}
