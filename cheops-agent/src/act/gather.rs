//! One list of many: each site's list is read as it comes, its elements are marked with their site, and the union goes
//! out in one answer, sorted where the profile says how. Memory stays bounded: a site is read only as fast as its
//! elements are written.

mod answer;
mod ask;
mod behind;
mod document;
mod link;
mod mark;
mod source;
mod split;
mod union;

use futures_util::future::join_all;
use serde_json::Value;

use self::ask::Ask;
use self::source::{Begun, Failed, begin};
use self::union::Union;
use super::exchange::Finished;
use super::marks::marked;
use super::otherwise::played;
use super::scoped::{Ran, RunError, Scoped};
use super::shared::Shared;
use super::stream::Stream;
use super::wire::Wire;
use crate::http::{Code, Problem, RequestHead};
use crate::names::SiteName;
use crate::plan::Verdict;
use crate::plan::marker::Cursor;
use crate::profile::List;

/// Sites that were not asked and are named all the same.
const UNASKED: usize = 64;

/// Asks all sites of the plan and unites their lists. `asked` is the request with its scope.
pub(super) async fn gather<C>(shared: &Shared, client: &mut Wire<C>, scoped: &Scoped<'_>, asked: &RequestHead) -> Ran
where
    C: Stream,
{
    let sites = scoped.plan.route.destinations().iter().map(|to| to.site.clone()).collect();
    let ended = Box::pin(united(shared, client, scoped, asked)).await;
    Ran { sites, ended }
}

async fn united<C>(
    shared: &Shared,
    client: &mut Wire<C>,
    scoped: &Scoped<'_>,
    asked: &RequestHead,
) -> Result<Finished, RunError>
where
    C: Stream,
{
    let refused = |problem| RunError::refused(problem, scoped.request);
    let ask = Ask::of(scoped.request, list(shared, scoped)).map_err(refused)?;
    let destinations = scoped.plan.route.destinations();
    let begun = join_all(destinations.iter().map(|to| begin(shared, scoped, &ask, to))).await;
    let mut union = Union { shared, ask: &ask, sources: Vec::new(), at: 0, places: Vec::new(), tried: Vec::new() };
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    for (to, begun) in destinations.iter().zip(begun) {
        let outcome = match &begun {
            Begun::List(_) | Begun::Done(_) => "ok".to_owned(),
            Begun::Answer(answer) => answer.head.status().to_string(),
            Begun::Failed(failed) => failed.outcome.to_owned(),
        };
        union.tried.push((to.site.clone(), outcome));
        match begun {
            Begun::List(source) => union.sources.push(*source),
            Begun::Done(totals) => union.places.push((to.site.to_string(), Cursor::Done(totals))),
            Begun::Answer(answer) => {
                union.places.push((to.site.to_string(), ask.cursor(&to.site)));
                answers.push((to, answer));
            }
            Begun::Failed(failed) => {
                union.places.push((to.site.to_string(), ask.cursor(&to.site)));
                failures.push(failed);
            }
        }
    }
    if !ask.goes_on() {
        union.tried.extend(unasked(scoped));
    }
    if !union.sources.is_empty() {
        return union.write(client, scoped, asked).await;
    }
    // No list at all: the entry site's own answer, else the first's.
    let entry = answers.iter().position(|(to, _)| to.site == scoped.plan.entry).unwrap_or(0);
    if entry < answers.len() {
        let (to, answer) = answers.swap_remove(entry);
        let sites = answer::sites(&union.tried);
        return played(shared, client, scoped, *answer, &|head| {
            answer::with(&marked(head, scoped.plan, to, &scoped.marks(&[])), &format!("X-Cheops-Sites: {sites}\r\n"))
        })
        .await;
    }
    Err(refused(nobody(&failures)))
}

/// Sites that may belong to what the scope asks for, and could not be asked.
fn unasked(scoped: &Scoped<'_>) -> impl Iterator<Item = (SiteName, String)> {
    let asked = |site: &SiteName| scoped.plan.route.destinations().iter().any(|to| to.site == *site);
    let candidates = scoped.plan.candidates.iter().filter(move |candidate| !asked(&candidate.site));
    let outcome = |verdict| match verdict {
        Verdict::Down => Some("down"),
        Verdict::DistanceUnknown => Some("distance-unknown"),
        _ => None,
    };
    let named = candidates.filter_map(move |one| Some((one.site.clone(), outcome(one.verdict)?.to_owned())));
    named.take(UNASKED)
}

/// What the profile says of such a list.
fn list(shared: &Shared, scoped: &Scoped<'_>) -> List {
    let snapshot = shared.snapshot.load();
    let service = snapshot.service(scoped.plan.service.as_str());
    let profiles = shared.profiles.load();
    let profile = profiles.get_or_default(service.map(|service| service.profile.as_str()).unwrap_or_default());
    profile.list(scoped.plan.kind.as_deref())
}

fn nobody(failures: &[Failed]) -> Problem {
    let all_broken = !failures.is_empty() && failures.iter().all(|failed| failed.outcome == "broken");
    let details: Vec<&str> = failures.iter().map(|failed| failed.detail.as_str()).collect();
    match (failures.is_empty(), all_broken) {
        (true, _) => Problem::new(Code::InvalidMarker, "every site's list has ended before this page"),
        (_, true) => broken(details.join("; ")),
        _ => Problem::new(Code::NoSiteAnswered, details.join("; ")),
    }
}

fn broken(detail: String) -> Problem {
    let mut problem = Problem::new(Code::BadAnswer, detail);
    problem.hint = Some("See what the profile makes of it: cheops profile test.".to_owned());
    problem
}

/// A pointer's names (RFC 6901).
fn segments(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
}

/// Where a field around the list stands: at which object that leads to the list, in which member, and where in that.
fn place<'a>(field: &'a [String], list: &[String]) -> Option<(usize, &'a String, &'a [String])> {
    let level = field.iter().zip(list).take_while(|(one, other)| one == other).count();
    if level >= list.len() {
        return None;
    }
    Some((level, field.get(level)?, field.get(level + 1..).unwrap_or_default()))
}

/// Of a list of links, which one: `rel=next`.
fn relation(name: &str) -> Option<&str> {
    name.strip_prefix("rel=")
}

fn get<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| match value {
        Value::Array(array) => match relation(name) {
            Some(rel) => array.iter().find(|link| link.get("rel").and_then(Value::as_str) == Some(rel)),
            None => array.get(name.parse::<usize>().ok()?),
        },
        value => value.get(name),
    })
}
