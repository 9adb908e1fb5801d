//! A profile's file, version 1. What is not used yet is checked all the same, so that a file that loads today means the
//! same tomorrow.

mod credentials;
mod list;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;

pub use credentials::{CredentialCheck, Credentials, Elsewhere, Expired, Identified, Issued, Roles};
pub use list::{List, Sort};

/// The version of the format that this agent reads.
pub const VERSION: i64 = 1;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// Of the format; [`VERSION`].
    pub version: Spanned<i64>,
    /// What the profile is for, in a line.
    pub about: Option<String>,
    #[serde(default)]
    pub platform: Platform,
    /// What methods do; those of `rest` by default.
    pub methods: Option<Methods>,
    /// How paths are read that no kind matches; by default they aren't.
    pub conventional: Option<Conventional>,
    /// Answers that mean "not at this site": `||` goes on to the next.
    #[serde(default)]
    pub capacity: Vec<CapacityError>,
    /// For each kind that doesn't say it itself.
    #[serde(default)]
    pub concurrent: Vec<ConcurrentRule>,
    /// Where an API stands a second time.
    #[serde(default)]
    pub roots: Vec<Root>,
    /// Requests that are about the API itself.
    #[serde(default)]
    pub discovery: Vec<Discovery>,
    #[serde(default)]
    pub kinds: Vec<Kind>,
}

/// What all services of the platform share.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Platform {
    /// Service type → class. The class `identity` issues and checks credentials; what a service of the class `internal`
    /// keeps belongs to the services that call it.
    #[serde(default)]
    pub classes: BTreeMap<String, String>,
    /// Headers by which an outgoing call is linked to the request that caused it, the first found counts.
    #[serde(default)]
    pub correlation: Vec<Correlation>,
    pub credentials: Option<Credentials>,
    pub health: Option<Health>,
    /// How the agent's own answers are written; as RFC 9457 has it by default.
    pub problems: Option<Problems>,
}

/// A header that the application itself carries from a request to the calls that it causes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Correlation {
    pub header: String,
    /// Written when a scoped request comes without it; `{uuid}` is replaced by a fresh one.
    pub set: Option<String>,
    /// Whether the client gets the value back that it sent, where the service answers with another.
    #[serde(default)]
    pub restore: bool,
}

/// A request that tells whether a service works.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Health {
    #[serde(default = "get")]
    pub method: String,
    pub path: String,
    /// Statuses that mean yes; none given: any below 500.
    #[serde(default)]
    pub status: Vec<u16>,
}

/// What the platform's clients take for an error message.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Problems {
    /// The media type that they read.
    pub content_type: Spanned<String>,
    /// The member that has the problem. None: it is the document.
    pub within: Option<String>,
    /// The member of the problem that they show, besides RFC 9457's: a sentence that begins with the title.
    pub message: Option<String>,
    /// Whether a service's answer of 5xx gives way to the reason, where a call that it made for that request had no answer:
    /// for services that don't tell it themselves.
    #[serde(default)]
    pub failed_calls: bool,
}

fn get() -> String {
    "GET".to_owned()
}

/// Method → what it does, for the two kinds of path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Methods {
    #[serde(default)]
    pub collection: BTreeMap<String, OpKind>,
    #[serde(default)]
    pub item: BTreeMap<String, OpKind>,
}

/// Collections and items by position: `/things`, `/things/ID`, `/things/ID/parts`, …
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Conventional {
    /// Leading segments that are no collection. `{number}` at the end stands for digits and dots: `v{number}`.
    #[serde(default)]
    pub skip: Vec<String>,
    /// What lists look like.
    pub list: Option<List>,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpKind {
    /// One resource is read.
    Read,
    /// A collection is read.
    List,
    Create,
    /// Sets the whole state.
    Replace,
    /// Sets some fields.
    Merge,
    /// Commutes with itself, not repeatable.
    Add,
    /// A side effect, such as a reboot; never run again.
    Once,
    Delete,
    /// The API itself is described: a version document, a schema.
    #[serde(skip_deserializing)]
    Describe,
    /// The profile says nothing about it.
    #[serde(skip_deserializing)]
    Unknown,
}

/// An answer that says that this site has no room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CapacityError {
    pub status: u16,
    /// Text that the body must hold.
    pub body: Option<String>,
    /// What the request must do; none given: anything. What exists at one site only is at no other, be there room or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ops: Vec<OpKind>,
}

/// What becomes of two concurrent ops (SPEC.md 4.1).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConcurrentRule {
    pub pair: [OpKind; 2],
    pub rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    TakeOne,
    BothAnyOrder,
    BothKeepOrder,
    BothReverseOrder,
}

/// What stands below one path stands below others, too: an older version's, which the service keeps for older clients.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Root {
    /// Types of the services that have it; none given: all of the platform.
    #[serde(default)]
    pub services: Vec<String>,
    /// With which the patterns of this file begin.
    pub path: Spanned<String>,
    /// In its place.
    pub also: Vec<Spanned<String>>,
}

impl File {
    /// A pattern of such services as it also stands, below each other root.
    pub fn also(&self, services: &[String], path: &str) -> Vec<String> {
        let shares = |root: &&Root| {
            root.services.is_empty() || services.is_empty() || root.services.iter().any(|one| services.contains(one))
        };
        let below = |root: &'_ Root| {
            let rest = path.strip_prefix(root.path.get_ref().as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
        };
        let roots = self.roots.iter().filter(shares).filter_map(|root| Some((root, below(root)?)));
        roots.flat_map(|(root, rest)| root.also.iter().map(move |also| format!("{}{rest}", also.get_ref()))).collect()
    }
}

/// Requests that are about the API itself, and about no resource: any site's answer will do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Discovery {
    /// Types of the services that have it; none given: all of the platform.
    #[serde(default)]
    pub services: Vec<String>,
    /// Path patterns, as a kind's.
    pub paths: Vec<Spanned<String>>,
}

/// One kind of resource.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kind {
    pub name: Spanned<String>,
    /// Types of the services that have it; none given: all of the platform.
    #[serde(default)]
    pub services: Vec<String>,
    /// Path patterns of the collection: literal segments, `{name}` for any one segment, `{name?}` for one or none.
    #[serde(default)]
    pub collections: Vec<Spanned<String>>,
    /// Path patterns of one resource: `{id}` is its id, `{id...}` also over several segments at the end.
    #[serde(default)]
    pub items: Vec<Spanned<String>>,
    /// Instead of the file's own, method by method.
    #[serde(default)]
    pub methods: Methods,
    /// Requests that are neither on a collection nor an item, or do something else there.
    #[serde(default)]
    pub actions: Vec<Action>,
    pub created: Option<Created>,
    pub list: Option<List>,
    #[serde(default)]
    pub concurrent: Vec<ConcurrentRule>,
    #[serde(default)]
    pub references: Vec<Reference>,
    #[serde(default)]
    pub divide: Vec<Divide>,
    #[serde(default)]
    pub aggregate: Vec<Aggregate>,
    /// Fields that change by themselves: never compared.
    #[serde(default)]
    pub volatile: Vec<Spanned<String>>,
    /// Fields that are never shown.
    #[serde(default)]
    pub secret: Vec<Spanned<String>>,
    pub marker: Option<Marker>,
    /// Besides the file's own.
    #[serde(default)]
    pub capacity: Vec<CapacityError>,
}

/// `POST /servers/{id}/action` with `{"reboot": …}`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Action {
    pub method: String,
    pub path: Spanned<String>,
    pub op: OpKind,
    /// Only when the body has this field.
    pub body: Option<Spanned<String>>,
}

/// Where a create's answer has the new resource's id and name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Created {
    /// None: the last segment of `Location`.
    pub id: Option<Spanned<String>>,
    pub name: Option<Spanned<String>>,
}

/// A field that names another resource.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reference {
    pub field: Spanned<String>,
    /// The kind that it names.
    pub kind: Spanned<String>,
    pub pattern: Dependency,
}

/// How a resource depends on another (SPEC.md 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependency {
    /// Needed when it is made.
    Requirement,
    /// Needed as long as it lives.
    Reliance,
    /// Made of parts that the application makes itself.
    Composition,
}

/// A field that is cut among the sites of a crossed resource (SPEC.md 4.2).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Divide {
    pub field: Spanned<String>,
    pub how: Divider,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divider {
    Even,
    Weighted,
    Capacity,
    Range,
    Quota,
}

/// A field whose values at the sites make one value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Aggregate {
    pub field: Spanned<String>,
    pub how: Aggregator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregator {
    Sum,
    Min,
    Max,
    All,
    Any,
    Union,
    Latest,
}

/// How a resource that the agent made is found again after an ambiguous create.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Marker {
    /// The field that the op's id is written to. None: by its name alone.
    pub field: Option<Spanned<String>>,
    /// The query parameter by which the list is searched.
    pub query: Option<String>,
}
