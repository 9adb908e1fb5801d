//! How a list is sorted: fields and directions, as requests and profiles write them, and the comparison of elements.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::model::Sort;

/// Fields by which a list is sorted; more are not looked at.
const MAX_FIELDS: usize = 8;

/// One field, and which way it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// A JSON pointer into an element.
    pub field: String,
    pub descending: bool,
}

/// Reads `a:desc,b`, `-a,+b` or `/a/b`; `descending` is for fields that say nothing.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(text: &str, descending: bool) -> Result<Vec<By>, &'static str> {
    text.split(',').map(|part| field(part.trim(), descending)).collect()
}

fn field(text: &str, descending: bool) -> Result<By, &'static str> {
    let (text, descending) = match text.rsplit_once(':') {
        Some((field, "asc")) => (field, false),
        Some((field, "desc")) => (field, true),
        Some(_) => return Err("behind \":\" stands asc or desc"),
        None => match (text.strip_prefix('-'), text.strip_prefix('+')) {
            (Some(field), _) => (field, true),
            (_, Some(field)) => (field, false),
            _ => (text, descending),
        },
    };
    match text {
        "" => Err("a field of the order has no name"),
        text if text.starts_with('/') => Ok(By { field: text.to_owned(), descending }),
        text => Ok(By { field: format!("/{}", text.replace('~', "~0").replace('/', "~1")), descending }),
    }
}

/// The order that a request asks for; `given` gives the decoded values of a query parameter. Empty: not known.
pub fn of(sort: &Sort, given: impl Fn(&str) -> Vec<String>) -> Vec<By> {
    let named = sort.parameter.as_deref().map(&given).unwrap_or_default();
    let directions = sort.direction.as_deref().map(&given).unwrap_or_default();
    let renamed = |by: By| match sort.fields.get(by.field.trim_start_matches('/')) {
        Some(field) => By { field: field.get_ref().clone(), ..by },
        None => by,
    };
    let fields = if named.is_empty() {
        let default = sort.default.as_ref().map(|default| parse(default.get_ref(), sort.descending));
        default.and_then(Result::ok).unwrap_or_default()
    } else {
        // A field that can't be read: the sites order as they like.
        let fields: Result<Vec<_>, _> = named.iter().map(|text| parse(text, sort.descending)).collect();
        fields.map(|fields| fields.concat()).unwrap_or_default()
    };
    let directed = fields.into_iter().take(MAX_FIELDS).map(renamed).enumerate().map(|(at, by)| {
        // A single direction holds for all.
        match directions.get(at).or(directions.first().filter(|_| directions.len() == 1)).map(String::as_str) {
            Some("asc") => By { descending: false, ..by },
            Some("desc") => By { descending: true, ..by },
            _ => by,
        }
    });
    directed.collect()
}

/// What an element is sorted by.
pub fn keys(element: &Value, order: &[By]) -> Vec<Value> {
    order.iter().map(|by| element.pointer(&by.field).cloned().unwrap_or_default()).collect()
}

/// Two elements by their keys.
pub fn compare(one: &[Value], other: &[Value], order: &[By]) -> Ordering {
    for ((by, one), other) in order.iter().zip(one).zip(other) {
        let found = value(one, other);
        let found = if by.descending { found.reverse() } else { found };
        if found != Ordering::Equal {
            return found;
        }
    }
    Ordering::Equal
}

fn value(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => number(one, other),
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (one, other) => rank(one).cmp(&rank(other)),
    }
}

fn number(one: &Number, other: &Number) -> Ordering {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.as_f64().unwrap_or_default().total_cmp(&other.as_f64().unwrap_or_default()),
    }
}

/// Null and absent are least, as most stores have it.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn by(field: &str, descending: bool) -> By {
        By { field: field.to_owned(), descending }
    }

    #[test]
    fn orders_are_read_in_each_manner() {
        assert_eq!(parse("created_at:desc,id:asc", false), Ok(vec![by("/created_at", true), by("/id", false)]));
        assert_eq!(parse("-a, +b,c", true), Ok(vec![by("/a", true), by("/b", false), by("/c", true)]));
        assert_eq!(parse("/metadata/name", false), Ok(vec![by("/metadata/name", false)]));
        for bad in ["", "a,", "a:up", "-"] {
            assert!(parse(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_request_outranks_the_default() {
        let sort = Sort {
            default: Some(toml::Spanned::new(0..0, "created_at,id".to_owned())),
            parameter: Some("sort_key".to_owned()),
            direction: Some("sort_dir".to_owned()),
            descending: true,
            fields: [("display_name".to_owned(), toml::Spanned::new(0..0, "/name".to_owned()))].into(),
        };
        let asked = |query: &[(&str, &str)]| {
            of(&sort, |name| query.iter().filter(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()).collect())
        };
        assert_eq!(asked(&[]), [by("/created_at", true), by("/id", true)]);
        assert_eq!(asked(&[("sort_dir", "asc")]), [by("/created_at", false), by("/id", false)]);
        assert_eq!(
            asked(&[("sort_key", "name"), ("sort_dir", "asc"), ("sort_key", "size"), ("sort_dir", "desc")]),
            [by("/name", false), by("/size", true)]
        );
        assert_eq!(asked(&[("sort_key", "a:b")]), []);
        assert_eq!(asked(&[("sort_key", "display_name")]), [by("/name", true)]);
    }

    #[test]
    fn elements_are_compared_field_by_field() {
        let order = [by("/n", true), by("/s", false)];
        let cmp = |one, other| compare(&keys(&one, &order), &keys(&other, &order), &order);
        assert_eq!(cmp(json!({"n": 2}), json!({"n": 10})), Ordering::Greater);
        assert_eq!(cmp(json!({"n": 2, "s": "a"}), json!({"n": 2, "s": "b"})), Ordering::Less);
        assert_eq!(cmp(json!({"n": 2.5}), json!({"n": 2})), Ordering::Less);
        assert_eq!(cmp(json!({}), json!({"n": 1})), Ordering::Greater);
        assert_eq!(cmp(json!({"n": u64::MAX}), json!({"n": u64::MAX - 1})), Ordering::Less);
        assert_eq!(cmp(json!({"n": null}), json!({})), Ordering::Equal);
    }
}
