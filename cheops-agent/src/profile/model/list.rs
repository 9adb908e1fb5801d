//! What a profile says of lists.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// How a list is made up, and how its next page is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct List {
    /// The list of elements. None: the body, or its only member that is an array.
    pub elements: Option<Spanned<String>>,
    /// Within an element.
    pub id: Option<Spanned<String>>,
    /// The field with the next page's URL, whose query says which page it is.
    pub next: Option<Spanned<String>>,
    /// The field with what `marker` must hold for the next page.
    pub token: Option<Spanned<String>>,
    /// The header with the next page's URL; of `Link` the relation `next` (RFC 8288).
    pub next_header: Option<Spanned<String>>,
    /// The header with what `marker` must hold for the next page.
    pub token_header: Option<Spanned<String>>,
    /// The query parameter that names the last element seen, or takes the token.
    pub marker: Option<String>,
    /// The query parameter for a page's length.
    pub limit: Option<String>,
    /// Seconds that each site has for its list to begin, and between two pieces of it.
    #[serde(default = "ten")]
    pub within: u64,
    /// How elements are ordered. None: nobody knows; several sites' elements follow one another site by site.
    pub sort: Option<Sort>,
    /// Whether elements of several sites' lists get a member that names their site.
    #[serde(default = "yes")]
    pub mark: bool,
    /// Fields with numbers that are summed over several sites.
    #[serde(default)]
    pub totals: Vec<Spanned<String>>,
    /// Headers with such numbers.
    #[serde(default)]
    pub total_headers: Vec<Spanned<String>>,
}

impl Default for List {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            elements: None,
            id: None,
            next: None,
            token: None,
            next_header: None,
            token_header: None,
            marker: None,
            limit: None,
            sort: None,
            within: ten(),
            mark: true,
            totals: Vec::new(),
            total_headers: Vec::new(),
        }
    }
}

impl List {
    /// The parameter that has the marker: the service's own, or ours where it has none.
    pub fn parameter(&self) -> &str {
        self.marker.as_deref().unwrap_or("cheops-marker")
    }

    /// The header that tells of the next page.
    pub fn header(&self) -> Option<&str> {
        self.next_header.as_ref().or(self.token_header.as_ref()).map(|header| header.get_ref().as_str())
    }
}

fn ten() -> u64 {
    10
}

fn yes() -> bool {
    true
}

/// The order of a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sort {
    /// Without the parameter: `created_at:desc,id:desc`, `-created_at,id`, `/metadata/name`.
    pub default: Option<Spanned<String>>,
    /// The query parameter that names the fields in the same manner; it may be repeated.
    pub parameter: Option<String>,
    /// The query parameter for `asc` or `desc`, repeated like the other.
    pub direction: Option<String>,
    /// Whether a field without direction descends.
    #[serde(default)]
    pub descending: bool,
    /// Names of fields in requests → pointers into elements, where these are called otherwise.
    #[serde(default)]
    pub fields: BTreeMap<String, Spanned<String>>,
}
