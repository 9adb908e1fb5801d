//! The scope that a request carries.

use cheops_agent::config::ScopeCarriers;
use cheops_agent::scope;
use cheops_agent::scope::carriers::{find, may_carry};

use super::request;

/// A request without its scope is well-formed, carries none, and is otherwise the same.
pub fn carriers(data: &[u8]) {
    let names = ScopeCarriers { header: "X-Scope".to_owned(), parameter: "scope".to_owned() };
    let Some(head) = request(data) else { return };
    for parameter_allowed in [true, false] {
        let found = find(&head, &names, parameter_allowed);
        assert!(may_carry(&head, &names) || found == Ok(None));
        let Ok(Some(carried)) = found else { continue };
        let rest = head.without(&carried.cut);
        let cut: usize = carried.cut.iter().map(|range| range.len()).sum();
        assert_eq!(rest.len() + cut, head.raw().len());
        let less = request(&rest).unwrap_or_else(|| panic!("no request: {rest:?}"));
        assert_eq!(find(&less, &names, parameter_allowed), Ok(None), "{rest:?}");
        assert_eq!((less.method(), less.length()), (head.method(), head.length()));
        assert_eq!(scope::parse(&carried.text), Ok(carried.scope));
    }
}
