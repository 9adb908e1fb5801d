//! Pages by an element's id: where a client names the last element that it saw, as it would at a single site, only one
//! site knows that id. All lists are read from their beginning then, and what comes up to that element is passed over.

use super::nobody;
use super::source::{self, Begun, begin_at};
use super::union::{Lost, Union};
use crate::act::scoped::Scoped;
use crate::http::{Code, Problem};

/// Elements that are passed over for one page.
const MOST: usize = 1 << 16;

impl Union<'_> {
    /// Passes over all up to the last element that the client saw.
    pub(super) async fn pass(&mut self, scoped: &Scoped<'_>) -> Result<(), Lost> {
        let Some(last) = self.ask.behind.clone() else { return Ok(()) };
        let (mut passed, mut found, mut failures) = (0, false, Vec::new());
        while passed < MOST {
            let at = match self.next().await {
                Ok(Some(at)) => at,
                Ok(None) if self.turn(scoped).await? => continue,
                Ok(None) => break,
                Err(broke) => {
                    failures.push(self.leave_out(broke));
                    continue;
                }
            };
            // An element of another site may have the same id.
            let first = self.sources.get(at).and_then(|source| source.first());
            let is = first.and_then(|entry| source::id(&entry.bytes, self.ask)).is_some_and(|id| id == last);
            if found && !is {
                return Ok(());
            }
            found |= is;
            passed += 1;
            if let Some(source) = self.sources.get_mut(at) {
                source.take();
            }
        }
        match (found, self.sources.is_empty()) {
            (_, true) => Err(Lost::Refused(nobody(&failures))),
            (true, _) => Ok(()),
            (false, _) => {
                let detail = format!("none of the first {passed} elements of these sites' lists has the marker's id");
                Err(Lost::Refused(Problem::new(Code::InvalidMarker, detail)))
            }
        }
    }

    /// Begins the next page of each list of which all elements were taken. Whether there was any.
    pub(super) async fn turn(&mut self, scoped: &Scoped<'_>) -> Result<bool, Lost> {
        let (shared, ask, mut turned) = (self.shared, self.ask, false);
        for at in 0..self.sources.len() {
            let Some(source) = self.sources.get_mut(at) else { break };
            if source.first().is_some() || !source.has_more(ask) {
                continue;
            }
            let (place, site) = (source.place(ask), source.site.clone());
            let to = scoped.plan.route.destinations().iter().find(|to| to.site == site);
            let (Some(cursor), Some(to)) = (place, to) else {
                return Err(Lost::Site(format!("{site}: no place to go on from")));
            };
            match Box::pin(begin_at(shared, scoped, ask, to, cursor)).await {
                Begun::List(next) => {
                    *source = *next;
                    turned = true;
                }
                Begun::Done(_) => {}
                Begun::Answer(answer) => {
                    return Err(Lost::Site(format!("{site}'s next page: {}", answer.head.status())));
                }
                Begun::Failed(failed) => return Err(Lost::Site(failed.detail)),
            }
        }
        Ok(turned)
    }
}
