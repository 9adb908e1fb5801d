//! A record as it is written down: for the process that comes after this one, and for the site's other agents.

use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::links::Link;
use super::record::Record;
use crate::names::{ServiceName, SiteName};

/// Of what lines are written in: this file's format.
pub const VERSION: u32 = 1;

/// An id and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    pub link: Link,
    /// Completed.
    pub scope: String,
    pub entry: SiteName,
    pub request: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// Unix time, milliseconds.
    pub since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addressed: Vec<ServiceName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placed: Vec<(ServiceName, SiteName)>,
    #[serde(default)]
    pub brief: bool,
    /// When it ends, Unix time in milliseconds; none while a request is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// An id under one scope.
pub(super) type Key = (Link, String, SiteName);

impl Line {
    /// `until` is when it ends if no request is open.
    pub(super) fn of(link: &Link, record: &Record, until: u64) -> Self {
        Self {
            link: link.clone(),
            scope: record.scope.scope.to_string(),
            entry: record.scope.entry.clone(),
            request: record.story.request.clone(),
            service: record.story.service.clone(),
            since: record.story.since,
            caller: record.caller.clone(),
            addressed: record.addressed.clone(),
            placed: record.placed.clone(),
            brief: record.brief,
            until: (record.open == 0).then_some(until),
        }
    }

    /// Which record it is of.
    pub(super) fn key(&self) -> Key {
        (self.link.clone(), self.scope.clone(), self.entry.clone())
    }
}
