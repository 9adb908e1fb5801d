//! What is known of a request's credential, for somebody who only asks: nothing of the credential itself.

use crate::act::ids;
use crate::act::shared::Shared;
use crate::http::RequestHead;
use crate::names::SiteName;
use crate::plan::Plan;
use crate::workflow::{Home, Known, Mark};

/// Where a credential was issued, and what comes of it where the request is served.
#[derive(Clone, Debug)]
pub struct Credential {
    pub home: Option<Home>,
    /// This agent's site.
    here: SiteName,
    /// Whether the request enters here.
    enters: bool,
    /// Sites at which the credential is another site's, and whether this agent knows that they accept it.
    abroad: Vec<(SiteName, Option<bool>)>,
}

/// What is known of a request's credential, if it has one.
pub fn explained(shared: &Shared, head: &RequestHead, plan: &Plan) -> Option<Credential> {
    let (snapshot, profiles, config) = (shared.snapshot.load(), shared.profiles.load(), shared.config.load());
    let profile = profiles.get_or_default(&snapshot.service(plan.service.as_str())?.profile);
    let home = shared.tokens.homes.of(&Mark::of(ids::credential(head, Some(profile))?));
    let checks = profile.credentials().is_some_and(|credentials| credentials.check.is_some());
    let served = plan.route.destinations().iter().map(|to| &to.site);
    let served = if plan.route.destinations().is_empty() { vec![&plan.addressed] } else { served.collect() };
    let abroad = home.iter().filter(|_| checks).flat_map(|home| {
        let trust = |site: &SiteName| (*site == config.site).then(|| config.identity.trust.includes(&home.site));
        served.iter().filter(|site| ***site != home.site).map(move |site| ((*site).clone(), trust(site)))
    });
    let abroad = abroad.collect();
    Some(Credential { home, here: config.site.clone(), enters: plan.entry == config.site, abroad })
}

impl Credential {
    /// How the home is known.
    pub fn known(&self) -> Option<&'static str> {
        self.home.as_ref().map(|home| match home.known {
            Known::Issued => "issued",
            Known::Told => "told",
            Known::Guessed => "guessed",
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let Some(Home { site: home, known }) = &self.home else {
            let taken =
                if self.enters { format!("is taken for one of {}", self.here) } else { "may be anybody's".into() };
            return format!("its token was not seen when it was issued, and {taken}");
        };
        let mut text = match known {
            Known::Issued => format!("its token was issued by {home}, as this agent saw"),
            Known::Told => format!("its token was issued by {home}, as that site's agent or another told"),
            Known::Guessed => format!("its token first came with a request to {home}, and is taken for one of {home}"),
        };
        for (site, accepted) in &self.abroad {
            text += &match accepted {
                Some(true) => format!("; {site} asks {home} whether it is valid"),
                Some(false) => format!("; {site} does not accept it ([identity] trust doesn't name {home})"),
                None => format!("; {site} asks {home} whether it is valid, if it accepts tokens of {home}"),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_told_in_words() {
        let home = |known| Some(Home { site: "Paris".into(), known });
        let told = |home, enters, abroad: &[(&str, Option<bool>)]| {
            let abroad = abroad.iter().map(|(site, accepted)| (SiteName::from(*site), *accepted)).collect();
            Credential { home, here: "Berlin".into(), enters, abroad }.text()
        };
        assert_eq!(told(home(Known::Issued), true, &[]), "its token was issued by Paris, as this agent saw");
        let abroad = [("Berlin", Some(true)), ("Nantes", None)];
        assert_eq!(
            told(home(Known::Told), true, &abroad),
            "its token was issued by Paris, as that site's agent or another told; Berlin asks Paris whether it is valid; \
             Nantes asks Paris whether it is valid, if it accepts tokens of Paris"
        );
        assert!(
            told(home(Known::Guessed), true, &[("Berlin", Some(false))]).ends_with(
                "is taken for one of Paris; Berlin does not accept it ([identity] trust doesn't name Paris)"
            )
        );
        assert!(told(None, true, &[]).ends_with("is taken for one of Berlin"));
        assert!(told(None, false, &[]).ends_with("may be anybody's"));
    }
}
