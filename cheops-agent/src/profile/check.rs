//! What must hold in a profile beyond its types, each fault at its place.

use std::collections::{HashMap, HashSet};

use toml::Spanned;

use crate::config::diagnostic::did_you_mean;

use super::matcher::{Segment, patterns};
use super::model::{
    Action, CapacityError, ConcurrentRule, Credentials, File, Kind, List, Methods, OpKind, Problems, Root, VERSION,
};
use super::order;
use super::pointer::Pointer;

/// Headers that no profile gives another meaning.
const FRAMING: &[&str] = &["content-length", "transfer-encoding", "connection", "trailer", "te", "upgrade", "date"];

/// A fault and the bytes of the file that it is about.
pub(super) type Fault = (String, std::ops::Range<usize>);

/// Every fault, in the order of the file's parts.
pub(super) fn faults(file: &File) -> Vec<Fault> {
    let mut check = Check { faults: Vec::new() };
    if *file.version.get_ref() != VERSION {
        let message = format!("this agent reads version {VERSION} of profiles, not {}", file.version.get_ref());
        check.faults.push((message, file.version.span()));
        return check.faults;
    }
    let top = file.version.span();
    if let Some(methods) = &file.methods {
        check.methods(methods, &top);
    }
    check.capacity(&file.capacity, &top);
    check.concurrent(&file.concurrent, &top);
    check.platform(file, &top);
    check.names(file);
    if let Some(list) = file.conventional.as_ref().and_then(|conventional| conventional.list.as_ref()) {
        check.list(list);
    }
    check.roots(&file.roots);
    for path in file.discovery.iter().flat_map(|discovery| &discovery.paths) {
        check.pattern(path, Some(false));
    }
    for kind in &file.kinds {
        check.kind(kind, file);
    }
    check.patterns_apart(file);
    check.faults
}

struct Check {
    faults: Vec<Fault>,
}

impl Check {
    fn add(&mut self, message: impl Into<String>, span: std::ops::Range<usize>) {
        self.faults.push((message.into(), span));
    }

    fn platform(&mut self, file: &File, top: &std::ops::Range<usize>) {
        for correlation in &file.platform.correlation {
            self.header(&correlation.header, top);
            let is_form = |form: &str| {
                form.matches("{uuid}").count() == 1
                    && form.len() <= 128
                    && form.bytes().all(|byte| byte.is_ascii_graphic())
            };
            if let Some(form) = correlation.set.as_ref().filter(|form| !is_form(form)) {
                let message = format!(
                    "\"{form}\" is no form of ids: it holds {{uuid}} once, and nothing that can't stand in a header"
                );
                self.add(message, top.clone());
            }
            if FRAMING.iter().any(|name| correlation.header.eq_ignore_ascii_case(name)) {
                self.add(format!("{} is about the message, it is no id", correlation.header), top.clone());
            }
        }
        if let Some(credentials) = &file.platform.credentials {
            self.header(&credentials.header, top);
            let issued = credentials.issued.as_ref();
            if issued.is_some_and(|issued| issued.header.is_some() == issued.field.is_some()) {
                self.add("credentials are issued in a header or in a field, one of the two", top.clone());
            }
            self.credentials(credentials, top);
        }
        if let Some(health) = &file.platform.health
            && !health.path.starts_with('/')
        {
            self.add(format!("the health request's path \"{}\" must begin with \"/\"", health.path), top.clone());
        }
        if let Some(Problems { content_type, within, message, failed_calls: _ }) = &file.platform.problems {
            // It stands in a head.
            let well = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
            let text = content_type.get_ref();
            if !text.contains('/') || text.starts_with(' ') || text.ends_with(' ') || !text.bytes().all(well) {
                self.add(format!("\"{text}\" is no media type, such as application/json"), content_type.span());
            }
            if within.iter().chain(message).any(String::is_empty) {
                self.add("a member of a problem has a name", content_type.span());
            }
        }
    }

    fn credentials(&mut self, credentials: &Credentials, top: &std::ops::Range<usize>) {
        credentials.local.iter().for_each(|header| self.header(header, top));
        let Some(check) = &credentials.check else { return };
        if credentials.issuer.is_none() {
            self.add("a check needs issuer, the class of the service that is asked", top.clone());
        }
        if !check.path.starts_with('/') {
            self.add(format!("the check's path \"{}\" must begin with \"/\"", check.path), top.clone());
        }
        if check.methods.is_empty() || check.identified.is_empty() {
            self.add("a check has methods, and what it identifies: both at least one", top.clone());
        }
        check.methods.iter().for_each(|method| self.method(method, top));
        [&check.subject].into_iter().chain(&check.caller).for_each(|header| self.header(header, top));
        if check.caller.as_ref().unwrap_or(&credentials.header).eq_ignore_ascii_case(&check.subject) {
            self.add("a check's subject and caller stand in two headers", top.clone());
        }
        if let Some(expired) = &check.expired {
            self.pointer(&expired.until);
            if !credentials.local.iter().any(|header| header.eq_ignore_ascii_case(&expired.along)) {
                self.add(
                    format!("{} is a service's own: it stands in local, too", expired.along),
                    expired.until.span(),
                );
            }
            let well = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~=".contains(&byte);
            if expired.query.is_empty() || !expired.query.bytes().all(well) {
                self.add(format!("\"{}\" is no query parameter", expired.query), expired.until.span());
            }
        }
        self.pointers([&check.roles.list, &check.roles.name].into_iter().chain(&check.refused).chain(&check.denied));
        for identified in &check.identified {
            self.pointer(&identified.field);
            let path = identified.path.get_ref();
            if !path.starts_with('/') || path.matches("{id}").count() != 1 {
                self.add("a path begins with \"/\" and has {id} once", identified.path.span());
            }
        }
        let single = check.refused.iter().chain(&check.denied).chain(check.identified.iter().map(|one| &one.field));
        for pointer in single.chain([&check.roles.list, &check.roles.name]) {
            if pointer.get_ref().split('/').any(|name| name == "*") {
                self.add("there is one such field: \"*\" can't stand here", pointer.span());
            }
        }
    }

    /// A field name as RFC 9110, 5.1 has it.
    fn header(&mut self, name: &str, place: &std::ops::Range<usize>) {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            self.add(format!("\"{name}\" is no header's name"), place.clone());
        }
    }

    fn methods(&mut self, methods: &Methods, place: &std::ops::Range<usize>) {
        for method in methods.collection.keys().chain(methods.item.keys()) {
            self.method(method, place);
        }
    }

    fn method(&mut self, method: &str, place: &std::ops::Range<usize>) {
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            self.add(format!("\"{method}\" is no method: methods are in capitals, such as GET"), place.clone());
        }
    }

    /// Plain segments: patterns are told from each other by what stands in them.
    fn roots(&mut self, roots: &[Root]) {
        for root in roots {
            for path in [&root.path].into_iter().chain(&root.also) {
                let literal = |segment: &Segment<'_>| matches!(segment, Segment::Literal(_));
                let both = patterns(path.get_ref()).unwrap_or_default();
                if both.is_empty() || both.iter().any(|one| one.is_empty() || !one.iter().all(literal)) {
                    self.add("a root is a path of plain segments, such as /v2.1", path.span());
                }
            }
            if root.also.is_empty() {
                self.add("also names the other roots: at least one", root.path.span());
            }
        }
    }

    fn capacity(&mut self, errors: &[CapacityError], place: &std::ops::Range<usize>) {
        for error in errors {
            if !(400..600).contains(&error.status) {
                self.add(format!("a capacity error has a status from 400 to 599, not {}", error.status), place.clone());
            }
        }
    }

    fn concurrent(&mut self, rules: &[ConcurrentRule], place: &std::ops::Range<usize>) {
        let mut seen = HashSet::new();
        for rule in rules {
            let mut pair = rule.pair;
            pair.sort_unstable();
            if pair.iter().any(|op| matches!(op, OpKind::Read | OpKind::List)) {
                self.add("a rule is about ops that change something", place.clone());
            }
            if !seen.insert(pair) {
                self.add("there are two rules for one pair of ops", place.clone());
            }
        }
    }

    fn names(&mut self, file: &File) {
        let mut seen = HashSet::new();
        for kind in &file.kinds {
            if !seen.insert(kind.name.get_ref()) {
                self.add(format!("there is a kind \"{}\" already", kind.name.get_ref()), kind.name.span());
            }
        }
    }

    fn kind(&mut self, kind: &Kind, file: &File) {
        let place = kind.name.span();
        if kind.collections.is_empty() && kind.items.is_empty() && kind.actions.is_empty() {
            self.add(format!("kind \"{}\" has no path", kind.name.get_ref()), place.clone());
        }
        self.methods(&kind.methods, &place);
        self.capacity(&kind.capacity, &place);
        self.concurrent(&kind.concurrent, &place);
        for path in &kind.collections {
            self.pattern(path, Some(false));
        }
        for path in &kind.items {
            self.pattern(path, Some(true));
        }
        for Action { method, path, body, .. } in &kind.actions {
            self.method(method, &place);
            self.pattern(path, None);
            self.pointers(body);
        }
        for reference in &kind.references {
            self.pointer(&reference.field);
            let names = || file.kinds.iter().map(|kind| kind.name.get_ref().as_str());
            let wanted = reference.kind.get_ref();
            if !names().any(|name| name == wanted) {
                self.add(
                    format!("there is no kind \"{wanted}\"{}", did_you_mean(wanted, names())),
                    reference.kind.span(),
                );
            }
        }
        let created = kind.created.iter().flat_map(|created| [&created.id, &created.name]);
        let marker = kind.marker.iter().map(|marker| &marker.field);
        created.chain(marker).for_each(|pointer| self.pointers(pointer));
        kind.list.iter().for_each(|list| self.list(list));
        let fields = kind.divide.iter().map(|divide| &divide.field);
        let fields = fields.chain(kind.aggregate.iter().map(|aggregate| &aggregate.field));
        fields.chain(&kind.volatile).chain(&kind.secret).for_each(|pointer| self.pointer(pointer));
    }

    /// Lists of several sites are united by this.
    fn list(&mut self, list: &List) {
        self.pointers(&list.id);
        for pointer in [&list.elements, &list.next, &list.token].into_iter().flatten().chain(&list.totals) {
            self.pointer(pointer);
            if pointer.get_ref().split('/').any(|name| name == "*") {
                self.add("a list has one such field: \"*\" can't stand here", pointer.span());
            }
        }
        let told = [&list.next, &list.token, &list.next_header, &list.token_header];
        if let Some(second) = told.into_iter().flatten().nth(1) {
            let message = "a list's next page is told in one way: next, token, next-header or token-header";
            self.add(message, second.span());
        }
        if let (Some(token), None) = (list.token.as_ref().or(list.token_header.as_ref()), &list.marker) {
            self.add("the token needs marker, the query parameter that it goes to", token.span());
        }
        let headers = [&list.next_header, &list.token_header].into_iter().flatten();
        for header in headers.chain(&list.total_headers) {
            self.header(header.get_ref(), &header.span());
            if FRAMING.iter().any(|name| header.get_ref().eq_ignore_ascii_case(name)) {
                self.add(format!("{} is about the message, not about the list", header.get_ref()), header.span());
            }
        }
        self.pointers(list.sort.iter().flat_map(|sort| sort.fields.values()));
        let default = list.sort.as_ref().and_then(|sort| sort.default.as_ref());
        if let Some(default) = default
            && let Err(error) = order::parse(default.get_ref(), false)
        {
            self.add(error, default.span());
        }
    }

    fn pointers<'a>(&mut self, pointers: impl IntoIterator<Item = &'a Spanned<String>>) {
        pointers.into_iter().for_each(|pointer| self.pointer(pointer));
    }

    fn pointer(&mut self, pointer: &Spanned<String>) {
        if let Err(error) = Pointer::try_from(pointer.get_ref().clone()) {
            self.add(error.to_string(), pointer.span());
        }
    }

    /// A pattern must be well-formed; an item's has an id, a collection's has none.
    fn pattern(&mut self, path: &Spanned<String>, is_item: Option<bool>) {
        let segments = match patterns(path.get_ref()) {
            Ok(both) => both.into_iter().next().unwrap_or_default(),
            Err(message) => return self.add(message, path.span()),
        };
        let ids = segments.iter().filter(|s| matches!(s, Segment::Any { is_id: true } | Segment::Tail { is_id: true }));
        match (ids.count(), is_item) {
            (0, Some(true)) => self.add("an item's path has {id}", path.span()),
            (1.., Some(false)) => self.add("{id} stands in an item's path, not in a collection's", path.span()),
            (2.., _) => self.add("a path has {id} once", path.span()),
            _ => {}
        }
    }

    /// No two kinds of one service have the same path, and what is about the API is no kind's.
    fn patterns_apart(&mut self, file: &File) {
        let kinds = file.kinds.iter().flat_map(|kind| {
            let named = format!("kind \"{}\"", kind.name.get_ref());
            kind.collections.iter().chain(&kind.items).map(move |path| (path, &kind.services, named.clone()))
        });
        let discovery = file.discovery.iter().flat_map(|discovery| {
            discovery.paths.iter().map(|path| (path, &discovery.services, "a discovery".to_owned()))
        });
        let all = kinds.chain(discovery).flat_map(|(path, services, named)| {
            let also = file.also(services, path.get_ref()).into_iter().chain([path.get_ref().clone()]);
            also.map(move |text| (text, path, services, named.clone()))
        });
        let all: Vec<_> = all.collect();
        let mut seen: HashMap<Vec<Segment<'_>>, Vec<(&[String], String)>> = HashMap::new();
        for (text, path, services, named) in &all {
            for shape in patterns(text).unwrap_or_default() {
                let others = seen.entry(shape.into_iter().map(unnamed).collect()).or_default();
                let meet = |other: &[String]| {
                    services.is_empty() || other.is_empty() || services.iter().any(|service| other.contains(service))
                };
                if let Some((_, other)) = others.iter().find(|(other, _)| meet(other)) {
                    self.add(format!("{other} has this path already"), path.span());
                }
                others.push((services, named.clone()));
            }
        }
    }
}

/// A segment by what it matches.
fn unnamed(segment: Segment<'_>) -> Segment<'_> {
    match segment {
        Segment::Any { .. } => Segment::Any { is_id: false },
        Segment::Tail { .. } => Segment::Tail { is_id: false },
        literal => literal,
    }
}
