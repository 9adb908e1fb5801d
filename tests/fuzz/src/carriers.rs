//! The scope that a request carries.

use cheops_agent::config::ScopeCarriers;
use cheops_agent::scope::carriers::{find, may_carry};
use cheops_agent::scope::{self, Allowed};

use super::request;

/// A request without its scope is well-formed, carries none, and is otherwise the same.
pub fn carriers(data: &[u8]) {
    let tokens = vec!["x-auth-token".to_owned()];
    let names = ScopeCarriers { basic: true, tokens, ..ScopeCarriers::default() };
    let Some(head) = request(data) else { return };
    for parameter in [true, false] {
        let allowed = Allowed { parameter, token: Some("X-Auth-Token") };
        let found = find(&head, &names, allowed);
        assert!(may_carry(&head, &names) || found == Ok(None));
        let Ok(Some(carried)) = found else { continue };
        let rest = head.without(&carried.cut);
        let cut: usize = carried.cut.iter().map(|range| range.len()).sum();
        assert_eq!(rest.len() + cut, head.raw().len());
        let less = request(&rest).unwrap_or_else(|| panic!("no request: {rest:?}"));
        assert_eq!(find(&less, &names, allowed), Ok(None), "{rest:?}");
        assert_eq!((less.method(), less.length()), (head.method(), head.length()));
        assert_eq!(scope::parse(&carried.text), Ok(carried.scope));
    }
}
