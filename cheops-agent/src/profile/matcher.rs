//! A profile compiled: which kind of resource a path is, and what a method does to it.

use std::collections::BTreeMap;

use super::model::{CapacityError, Correlation, Credentials, File, Kind, List, Methods, OpKind};
use crate::http::Form;

/// The most segments of a path that are looked at.
const MAX_SEGMENTS: usize = 32;

/// A platform's description, ready to be asked.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    /// All of the file, for what is read rarely.
    pub file: File,
    nodes: Vec<Node>,
}

/// What a profile makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched<'a> {
    /// The kind of resource, if the path is one's.
    pub kind: Option<&'a str>,
    /// The resource's id as it stands in the path.
    pub id: Option<&'a str>,
    /// The path names another resource, of which this one is a part.
    pub nested: bool,
    pub op: OpKind,
}

/// One place in the tree of all patterns; the number of its segments is its depth.
#[derive(Clone, Debug, Default)]
struct Node {
    /// Sorted by text.
    literals: Vec<(Box<str>, usize)>,
    any: Option<usize>,
    ends: Vec<End>,
    /// Patterns whose last parameter takes this and all further segments.
    tails: Vec<End>,
}

/// A pattern's end.
#[derive(Clone, Debug)]
struct End {
    of: Of,
    /// Which segment is the id.
    id: Option<usize>,
    nested: bool,
    methods: Vec<(Box<str>, OpKind)>,
}

/// Whose a pattern is, by its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Kind(usize),
    Discovery(usize),
}

/// A segment of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Segment<'a> {
    Literal(&'a str),
    Any { is_id: bool },
    Tail { is_id: bool },
}

/// Reads a pattern: `/v2/servers/{id}`. A segment that may be missing makes two of it, the whole one first.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn patterns(text: &str) -> Result<Vec<Vec<Segment<'_>>>, &'static str> {
    let path = text.strip_prefix('/').ok_or("a path begins with \"/\"")?;
    let mut segments = Vec::new();
    let mut optional = None;
    for segment in path.split('/').filter(|_| !path.is_empty()) {
        if matches!(segments.last(), Some(Segment::Tail { .. })) {
            return Err("{…...} takes all that follows: it must be the last segment");
        }
        let parameter = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        segments.push(match parameter {
            _ if segment.is_empty() => return Err("a segment is empty"),
            Some("" | "..." | "?") => return Err("a parameter needs a name, as in {id}"),
            Some("id?") => return Err("an id can't be missing"),
            Some(name) if name.contains(['{', '}']) => return Err("a segment is one parameter or plain text"),
            Some(name) if name.ends_with('?') => {
                if optional.replace(segments.len()).is_some() {
                    return Err("one segment of a path may be missing");
                }
                Segment::Any { is_id: false }
            }
            Some(name) => match name.strip_suffix("...") {
                Some(name) => Segment::Tail { is_id: name == "id" },
                None => Segment::Any { is_id: name == "id" },
            },
            None if segment.contains(['{', '}', '?', '#']) => return Err("a segment is one parameter or plain text"),
            None => Segment::Literal(segment),
        });
    }
    if segments.len() > MAX_SEGMENTS {
        return Err("a path has at most 32 segments");
    }
    let mut both = vec![segments.clone()];
    if let Some(at) = optional {
        segments.remove(at);
        both.push(segments);
    }
    Ok(both)
}

impl Profile {
    /// Compiles a file that [`check`](super::check) found well.
    pub(super) fn compile(name: String, file: File, methods: &Methods) -> Self {
        let mut profile = Self { name, nodes: vec![Node::default()], file };
        let kinds = std::mem::take(&mut profile.file.kinds);
        for (number, kind) in kinds.iter().enumerate() {
            profile.add_kind(number, kind, methods);
        }
        profile.file.kinds = kinds;
        let discovery = std::mem::take(&mut profile.file.discovery);
        let methods_of_discovery = ["GET", "HEAD"].map(|method| (method.into(), OpKind::Describe));
        for (number, discovery) in discovery.iter().enumerate() {
            for path in &discovery.paths {
                profile.add(Of::Discovery(number), &discovery.services, path.get_ref(), &methods_of_discovery);
            }
        }
        profile.file.discovery = discovery;
        profile.file.methods.get_or_insert_with(|| methods.clone());
        profile
    }

    fn add_kind(&mut self, number: usize, kind: &Kind, methods: &Methods) {
        let collection = merged(&methods.collection, &kind.methods.collection);
        let item = merged(&methods.item, &kind.methods.item);
        for path in &kind.collections {
            self.add(Of::Kind(number), &kind.services, path.get_ref(), &collection);
        }
        for path in &kind.items {
            self.add(Of::Kind(number), &kind.services, path.get_ref(), &item);
        }
        // Without the body it isn't known which action it is: what holds for all of them, else the careful reading.
        let mut actions: BTreeMap<(&str, &str), OpKind> = BTreeMap::new();
        for action in &kind.actions {
            let op = actions.entry((action.path.get_ref(), &action.method)).or_insert(action.op);
            if *op != action.op {
                *op = OpKind::Once;
            }
        }
        for ((path, method), op) in actions {
            self.add(Of::Kind(number), &kind.services, path, &[(method.into(), op)]);
        }
    }

    fn add_path(&mut self, of: Of, path: &str, methods: &[(Box<str>, OpKind)]) {
        let both = patterns(path).unwrap_or_default();
        // A segment that may be missing names nothing that the resource is a part of.
        let names = |segment: &Segment<'_>| matches!(segment, Segment::Any { is_id: false });
        let nested = matches!(of, Of::Kind(_)) && both.last().is_some_and(|least| least.iter().any(names));
        for segments in both {
            self.add_pattern(of, nested, segments, methods);
        }
    }

    /// The pattern, and what it is below other roots.
    fn add(&mut self, of: Of, services: &[String], path: &str, methods: &[(Box<str>, OpKind)]) {
        let also = self.file.also(services, path);
        for path in also.iter().map(String::as_str).chain([path]) {
            self.add_path(of, path, methods);
        }
    }

    fn add_pattern(&mut self, of: Of, nested: bool, segments: Vec<Segment<'_>>, methods: &[(Box<str>, OpKind)]) {
        let id =
            segments.iter().position(|s| matches!(s, Segment::Any { is_id: true } | Segment::Tail { is_id: true }));
        let mut at = 0;
        let mut is_tail = false;
        for segment in segments {
            match segment {
                Segment::Literal(text) => at = self.literal(at, text),
                Segment::Any { .. } => at = self.any(at),
                Segment::Tail { .. } => is_tail = true,
            }
        }
        let Some(node) = self.nodes.get_mut(at) else { return };
        let ends = if is_tail { &mut node.tails } else { &mut node.ends };
        if let Some(end) = ends.iter_mut().find(|end| end.of == of && end.id == id) {
            end.methods.retain(|(known, _)| methods.iter().all(|(method, _)| method != known));
            end.methods.extend_from_slice(methods);
        } else {
            ends.push(End { of, id, nested, methods: methods.to_vec() });
        }
    }

    fn literal(&mut self, at: usize, text: &str) -> usize {
        let fresh = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        match node.literals.binary_search_by(|(known, _)| (**known).cmp(text)) {
            Ok(found) => node.literals.get(found).map_or(at, |(_, next)| *next),
            Err(place) => {
                node.literals.insert(place, (text.into(), fresh));
                self.nodes.push(Node::default());
                fresh
            }
        }
    }

    fn any(&mut self, at: usize) -> usize {
        let fresh = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let next = *node.any.get_or_insert(fresh);
        if next == fresh {
            self.nodes.push(Node::default());
        }
        next
    }

    /// What a request is. `service` is its service's type; `path` is without the endpoint's prefix and without a query.
    /// Literal segments win over parameters; nothing is decoded.
    pub fn matching<'a>(&'a self, service: Option<&str>, method: &str, path: &'a str) -> Matched<'a> {
        let mut segments = [""; MAX_SEGMENTS];
        let mut count = 0;
        for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
            let Some(slot) = segments.get_mut(count) else { return NOTHING };
            *slot = segment;
            count += 1;
        }
        let segments = segments.get(..count).unwrap_or_default();
        let segments = segments.strip_suffix(&[""]).unwrap_or(segments);
        match self.walk(0, 0, segments, service) {
            Some((end, last)) => self.found(end, last, segments, method, path),
            None => self.by_position(segments, method),
        }
    }

    /// The end of the best pattern, and the segment at which its tail begins.
    fn walk(&self, at: usize, depth: usize, path: &[&str], service: Option<&str>) -> Option<(&End, Option<usize>)> {
        let node = self.nodes.get(at)?;
        let Some(segment) = path.get(depth) else {
            return Some((node.ends.iter().find(|end| self.serves(end, service))?, None));
        };
        let literal = node.literals.binary_search_by(|(known, _)| (**known).cmp(segment)).ok();
        let literal = literal.and_then(|found| node.literals.get(found)).map(|(_, next)| *next);
        let any = node.any.filter(|_| !segment.is_empty());
        literal
            .and_then(|next| self.walk(next, depth + 1, path, service))
            .or_else(|| any.and_then(|next| self.walk(next, depth + 1, path, service)))
            .or_else(|| Some((node.tails.iter().find(|end| self.serves(end, service))?, Some(depth))))
    }

    fn serves(&self, end: &End, service: Option<&str>) -> bool {
        let services = match end.of {
            Of::Kind(at) => self.file.kinds.get(at).map(|kind| &kind.services),
            Of::Discovery(at) => self.file.discovery.get(at).map(|discovery| &discovery.services),
        };
        let services = services.map_or(&[][..], Vec::as_slice);
        services.is_empty() || service.is_some_and(|service| services.iter().any(|one| one == service))
    }

    fn found<'a>(
        &'a self,
        end: &'a End,
        tail: Option<usize>,
        segments: &[&'a str],
        method: &str,
        path: &'a str,
    ) -> Matched<'a> {
        let id = end.id.and_then(|id| match tail {
            Some(depth) if depth == id => {
                let before: usize = segments.iter().take(depth).map(|segment| segment.len() + 1).sum();
                Some(path.strip_prefix('/').unwrap_or(path).get(before..)?.trim_end_matches('/'))
            }
            _ => segments.get(id).copied(),
        });
        let op = end.methods.iter().find(|(known, _)| **known == *method).map_or(OpKind::Unknown, |(_, op)| *op);
        let kind = match end.of {
            Of::Kind(at) => self.file.kinds.get(at).map(|kind| kind.name.get_ref().as_str()),
            Of::Discovery(_) => None,
        };
        Matched { kind, id, nested: end.nested, op }
    }

    /// Collections and items in turn, behind the skipped segments.
    fn by_position<'a>(&'a self, segments: &[&'a str], method: &str) -> Matched<'a> {
        let Some(conventional) = &self.file.conventional else { return NOTHING };
        let skipped = segments.iter().take_while(|segment| conventional.skip.iter().any(|skip| skips(skip, segment)));
        let segments = segments.get(skipped.count()..).unwrap_or_default();
        if segments.iter().any(|segment| segment.is_empty()) {
            return NOTHING;
        }
        let op = |methods: &BTreeMap<String, OpKind>| methods.get(method).copied().unwrap_or(OpKind::Unknown);
        let Some(methods) = &self.file.methods else { return NOTHING };
        match segments {
            [] => NOTHING,
            [.., kind, id] if segments.len() % 2 == 0 => {
                Matched { kind: Some(*kind), id: Some(*id), nested: false, op: op(&methods.item) }
            }
            [.., kind] => Matched { kind: Some(*kind), id: None, nested: false, op: op(&methods.collection) },
        }
    }

    /// The class of a service by its type: `identity`, `internal`.
    pub fn class(&self, service: Option<&str>) -> Option<&str> {
        self.file.platform.classes.get(service?).map(String::as_str)
    }

    /// The header in which a token may carry a scope behind it.
    pub fn scope_header(&self) -> Option<&str> {
        let credentials = self.file.platform.credentials.as_ref();
        credentials.filter(|credentials| credentials.carries_scope).map(|credentials| credentials.header.as_str())
    }

    /// What stands for the caller.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.file.platform.credentials.as_ref()
    }

    /// Whether a service of this type issues credentials.
    pub fn issues(&self, service: Option<&str>) -> bool {
        let issuer = self.credentials().and_then(|credentials| credentials.issuer.as_deref());
        issuer.is_some() && self.class(service) == issuer
    }

    /// Headers with credentials that are of no use at another site.
    pub fn local_headers(&self) -> &[String] {
        self.credentials().map_or(&[], |credentials| &credentials.local)
    }

    /// Headers that link a call to the request that caused it, in the order in which they count.
    pub fn correlation(&self) -> &[Correlation] {
        &self.file.platform.correlation
    }

    /// What lists of this kind look like.
    pub fn list(&self, kind: Option<&str>) -> List {
        let own = self.file.kinds.iter().find(|known| Some(known.name.get_ref().as_str()) == kind);
        let list = match own {
            Some(kind) => kind.list.as_ref(),
            None => self.file.conventional.as_ref().and_then(|conventional| conventional.list.as_ref()),
        };
        list.cloned().unwrap_or_default()
    }

    /// How the agent's own answers are written for the platform's clients.
    pub fn form(&self) -> Form<'_> {
        self.file.platform.problems.as_ref().map_or(Form::STANDARD, |problems| Form {
            content_type: problems.content_type.get_ref(),
            within: problems.within.as_deref(),
            message: problems.message.as_deref(),
        })
    }

    /// Whether the agent tells which call failed instead of a service that fails for it.
    pub fn tells_failed_calls(&self) -> bool {
        self.file.platform.problems.as_ref().is_some_and(|problems| problems.failed_calls)
    }

    /// Answers to a request that does `op` on this kind that let `||` go on to the next site.
    pub fn capacity(&self, kind: Option<&str>, op: OpKind) -> Vec<CapacityError> {
        let own = self.file.kinds.iter().filter(|known| Some(known.name.get_ref().as_str()) == kind);
        let all = self.file.capacity.iter().chain(own.flat_map(|kind| &kind.capacity));
        all.filter(|error| error.ops.is_empty() || error.ops.contains(&op)).cloned().collect()
    }
}

const NOTHING: Matched<'static> = Matched { kind: None, id: None, nested: false, op: OpKind::Unknown };

/// Whether a leading segment is skipped: as it is, or with a number in place of `{number}`.
fn skips(skip: &str, segment: &str) -> bool {
    match skip.strip_suffix("{number}") {
        None => skip == segment,
        Some(before) => segment.strip_prefix(before).is_some_and(|number| {
            number.starts_with(|c: char| c.is_ascii_digit()) && number.chars().all(|c| c.is_ascii_digit() || c == '.')
        }),
    }
}

/// `all`, with the methods of `own` in their place.
fn merged(all: &BTreeMap<String, OpKind>, own: &BTreeMap<String, OpKind>) -> Vec<(Box<str>, OpKind)> {
    let mut methods = all.clone();
    methods.extend(own.iter().map(|(method, op)| (method.clone(), *op)));
    methods.into_iter().map(|(method, op)| (method.into(), op)).collect()
}
