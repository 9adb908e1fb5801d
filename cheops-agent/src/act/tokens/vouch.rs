//! What another site's issuer says of a credential, cut to what is let in here. Pure.

use serde_json::Value;
use time::OffsetDateTime;

use super::expired;
use super::refused::Why;
use crate::profile::CredentialCheck;
use crate::profile::model::Identified;

/// Cuts the document, and says which ids must be nobody's here.
///
/// # Errors
/// Why the credential is not let in.
pub(super) fn admit<'a>(
    document: &mut Value,
    check: &'a CredentialCheck,
    foreign_roles: &[String],
) -> Result<Vec<(&'a Identified, String)>, Why> {
    let refused = |why: String| Err(Why::Refused(why));
    let wide = check.refused.iter().find(|field| says(document.pointer(field.get_ref())));
    if let Some(field) = wide {
        let name = field.get_ref().rsplit('/').next().unwrap_or_default();
        return refused(format!("it holds for a whole {name}"));
    }
    let mut identified = Vec::with_capacity(check.identified.len());
    for wanted in &check.identified {
        match document.pointer(wanted.field.get_ref()).and_then(Value::as_str) {
            Some(id) => identified.push((wanted, id.to_owned())),
            None => return refused(format!("it is of no {}", wanted.what)),
        }
    }
    let (roles, name) = (&check.roles, check.roles.name.get_ref());
    let Some(Value::Array(list)) = document.pointer_mut(roles.list.get_ref()) else {
        return refused("it has no roles".to_owned());
    };
    let is_one_of = |role: &Value, names: &[String]| {
        let role = role.pointer(name).and_then(Value::as_str);
        role.is_some_and(|role| names.iter().any(|name| name.eq_ignore_ascii_case(role)))
    };
    if list.iter().any(|role| is_one_of(role, &roles.services)) {
        return refused("it is a service's own, which is of use at its own site only".to_owned());
    }
    list.retain(|role| is_one_of(role, foreign_roles) && !is_one_of(role, &roles.never));
    if list.is_empty() {
        return refused("it has none of the roles that users of other sites keep there".to_owned());
    }
    for field in &check.denied {
        deny(document, field.get_ref());
    }
    if let Some(expired) = &check.expired {
        expired::grant(document, expired, OffsetDateTime::now_utc());
    }
    Ok(identified)
}

/// Whether a field says something at all.
fn says(value: Option<&Value>) -> bool {
    !matches!(value, None | Some(Value::Null | Value::Bool(false)))
}

/// Sets a field to false, also where it isn't there: absent may mean true.
fn deny(document: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(parent)) = document.pointer_mut(parent) {
        parent.insert(name.replace("~1", "/").replace("~0", "~"), Value::Bool(false));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check() -> CredentialCheck {
        toml::from_str(
            r#"
            path = "/v3/auth/tokens"
            methods = ["GET", "HEAD"]
            subject = "X-Subject-Token"
            unknown = 404
            roles = { list = "/token/roles", name = "/name", never = ["admin"], services = ["service"] }
            refused = ["/token/system", "/token/domain"]
            denied = ["/token/is_admin_project"]
            identified = [
                { what = "user", field = "/token/user/id", path = "/v3/users/{id}", unknown = 404 },
                { what = "project", field = "/token/project/id", path = "/v3/projects/{id}", unknown = 404 },
            ]
            "#,
        )
        .expect("a check")
    }

    fn token(roles: &[&str]) -> Value {
        let roles: Vec<Value> = roles.iter().map(|name| json!({ "id": format!("id-{name}"), "name": name })).collect();
        json!({ "token": {
            "user": { "id": "u1", "name": "demo" }, "project": { "id": "p1" }, "roles": roles, "catalog": [1],
            "is_admin_project": true, "expires_at": "2030-01-01T00:00:00.000000Z",
        }})
    }

    fn foreign() -> Vec<String> {
        ["member", "reader", "admin"].map(str::to_owned).to_vec()
    }

    fn refusal(document: Value) -> String {
        match admit(&mut document.clone(), &check(), &foreign()) {
            Err(Why::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn roles_are_cut_to_what_foreigners_keep_and_never_admins() {
        let mut document = token(&["admin", "member", "Reader", "heat_stack_owner", "ADMIN"]);
        let check = check();
        let identified = admit(&mut document, &check, &foreign()).expect("let in");
        let ids: Vec<_> = identified.iter().map(|(one, id)| (one.what.as_str(), id.as_str())).collect();
        assert_eq!(ids, [("user", "u1"), ("project", "p1")]);
        let mut expected = token(&["member", "Reader"]);
        expected["token"]["is_admin_project"] = json!(false);
        assert_eq!(document, expected, "everything else is as the home said");
        let mut document = token(&["member"]);
        document["token"].as_object_mut().expect("an object").remove("is_admin_project");
        admit(&mut document, &check, &["member".to_owned()]).expect("let in");
        assert_eq!(document["token"]["is_admin_project"], json!(false), "absent means true to its readers");
    }

    #[test]
    fn what_holds_for_more_than_a_project_is_refused() {
        for (field, value) in [("system", json!({ "all": true })), ("domain", json!({ "id": "default" }))] {
            let mut document = token(&["member"]);
            document["token"][field] = value;
            assert_eq!(refusal(document), format!("it holds for a whole {field}"));
        }
        let mut unscoped = token(&["member"]);
        unscoped["token"].as_object_mut().expect("an object").remove("project");
        assert_eq!(refusal(unscoped), "it is of no project");
        assert!(refusal(token(&["member", "service"])).contains("a service's own"));
        for none in [token(&[]), token(&["admin"]), token(&["member2"])] {
            assert!(refusal(none).contains("none of the roles"));
        }
        for nothing in [json!({}), json!([]), json!({ "token": { "user": { "id": 7 } } })] {
            assert_eq!(refusal(nothing), "it is of no user");
        }
        let mut document = token(&[]);
        document["token"]["roles"] = json!("member");
        assert_eq!(refusal(document), "it has no roles");
        let mut document = token(&["member"]);
        document["token"]["system"] = json!(null);
        assert!(admit(&mut document, &check(), &foreign()).is_ok());
    }
}
