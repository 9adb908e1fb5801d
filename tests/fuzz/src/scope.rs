//! scope-lang.

use cheops_agent::scope::{self, Completed, MAX_BYTES, Scope, ScopeError};

/// No bytes panic; a scope's normal form and its JSON form are the same scope, written as they would be again; errors
/// are located inside the text.
pub fn scope(data: &[u8]) {
    let text = std::str::from_utf8(data);
    match scope::parse_bytes(data) {
        Ok(scope) => {
            again(&scope, &scope.to_string());
            again(&scope, &scope.to_json());
        }
        Err(error) => located(&error, &String::from_utf8_lossy(data)),
    }
    if let Ok(completed) = text.map_or(Err(()), |text| Completed::parse(text).map_err(drop)) {
        let written = completed.to_string();
        let read = Completed::parse(&written).unwrap_or_else(|error| panic!("{written}: {error:?}"));
        assert_eq!(read, completed);
    }
}

/// `form` is read as `scope` again, unless its longer spelling is longer than a scope may be.
fn again(scope: &Scope, form: &str) {
    if form.len() <= MAX_BYTES {
        let read = scope::parse(form).unwrap_or_else(|error| panic!("{form}: {error:?}"));
        assert_eq!(read.to_string(), scope.to_string());
        assert_eq!(read.to_json(), scope.to_json());
        assert_eq!(&read, scope);
    }
}

fn located(error: &ScopeError, text: &str) {
    assert!(error.span.is_none_or(|span| span.start <= span.end));
    error.render(text);
}
