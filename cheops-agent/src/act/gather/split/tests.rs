use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

const SIZES: Sizes = Sizes { element: 1 << 20, outside: 1 << 20 };

fn path(pointer: &str) -> Option<Vec<String>> {
    Some(pointer.split('/').skip(1).map(str::to_owned).collect())
}

fn pushed(path: Option<Vec<String>>, pieces: &[&[u8]], sizes: Sizes) -> Result<Vec<Part>, SplitError> {
    let mut splitter = Splitter::new(path, sizes);
    let mut out = Vec::new();
    for piece in pieces {
        splitter.push(piece, &mut out)?;
    }
    splitter.finish()?;
    Ok(out)
}

fn split(path: Option<Vec<String>>, text: &str) -> Result<Vec<Part>, SplitError> {
    pushed(path, &[text.as_bytes()], SIZES)
}

fn elements(parts: &[Part]) -> Vec<&str> {
    fn element(part: &Part) -> Option<&str> {
        match part {
            Part::Element(bytes) => std::str::from_utf8(bytes).ok(),
            Part::Member(_) => None,
        }
    }
    parts.iter().filter_map(element).collect()
}

fn members(parts: &[Part]) -> Vec<(usize, &str, &str, bool)> {
    fn told(part: &Part) -> Option<(usize, &str, &str, bool)> {
        let Part::Member(member) = part else { return None };
        Some((member.level, member.key.as_str(), std::str::from_utf8(&member.value).expect("text"), member.before))
    }
    parts.iter().filter_map(told).collect()
}

const ODD: &str = r#" { "first" : "/a\"]}", "im\u0061ges" :[ {"n":1.50e+03,"a":{"images":[1,"]"]}} , {} ,7,-0.0, "x\\" ,[ [],{"b":null}],true
 ],"next":null,"n":12 ,"o":{"images":[]}} "#;

#[test]
fn elements_keep_their_bytes_and_members_theirs() {
    let parts = split(path("/images"), ODD).expect("well-formed");
    assert_eq!(
        elements(&parts),
        [r#"{"n":1.50e+03,"a":{"images":[1,"]"]}}"#, "{}", "7", "-0.0", r#""x\\""#, r#"[ [],{"b":null}]"#, "true"]
    );
    assert_eq!(
        members(&parts),
        [
            (0, "first", r#""/a\"]}""#, true),
            (0, "next", "null", false),
            (0, "n", "12", false),
            (0, "o", r#"{"images":[]}"#, false)
        ]
    );
}

#[test]
fn every_split_position_gives_the_same() {
    let deep = r#"{"a":1,"b":{"c":"x","d":[{"e":"\u00e9\u12aBé"},2e1,false],"f":[0]},"g":{}}"#;
    for (pointer, text) in [("/images", ODD), ("/b/d", deep), ("", "[1,[2],{\"a\":\"]\"}]")] {
        let whole = split(path(pointer), text).expect("well-formed");
        let bytes = text.as_bytes();
        for at in 0..=bytes.len() {
            for second in at..=bytes.len() {
                let pieces = [&bytes[..at], &bytes[at..second], &bytes[second..]];
                assert_eq!(pushed(path(pointer), &pieces, SIZES).as_ref(), Ok(&whole), "{at} {second}");
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(pushed(path(pointer), &single, SIZES).as_ref(), Ok(&whole));
        for end in 0..text.trim_end().len() {
            assert!(pushed(path(pointer), &[&bytes[..end]], SIZES).is_err(), "half of it, up to {end}");
        }
    }
}

#[test]
fn the_list_is_found_where_the_path_leads_or_where_there_is_but_one() {
    let nested = split(path("/hits/hits"), r#"{"took":1,"hits":{"total":2,"hits":[{},{}],"max":null}}"#).expect("JSON");
    assert_eq!(elements(&nested), ["{}", "{}"]);
    assert_eq!(members(&nested), [(0, "took", "1", true), (1, "total", "2", true), (1, "max", "null", false)]);
    assert_eq!(elements(&split(None, "[1,2]").expect("JSON")), ["1", "2"]);
    assert_eq!(elements(&split(None, r#"{"a":{"b":[]},"data":[3]}"#).expect("JSON")), ["3"]);
    assert_eq!(elements(&split(path("/items"), r#"{"items":null,"kind":"L"}"#).expect("null is empty")), [""; 0]);
    for (given, text, error) in [
        (None, r#"{"a":[],"b":[]}"#, SplitError::Several),
        (None, r#"{"a":1}"#, SplitError::NoList),
        (None, "7", SplitError::NoList),
        (None, "\"[]\"", SplitError::NoList),
        (path("/a"), r#"{"a":{}}"#, SplitError::NoList),
        (path("/a"), r#"{"a":"x"}"#, SplitError::NoList),
        (path("/a"), r#"{"b":[]}"#, SplitError::NoList),
        (path("/a"), "[]", SplitError::NoList),
        (path(""), "{}", SplitError::NoList),
        (path("/a/b"), r#"{"a":[]}"#, SplitError::NoList),
        (path("/a"), r#"{"a":[],"a":[]}"#, SplitError::Several),
        (path("/a"), r#"{"a":[],"\u0061":1}"#, SplitError::Several),
    ] {
        assert_eq!(split(given, text), Err(error), "{text}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        " ",
        "<html>",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":[1],}",
        "{a:[]}",
        "[01]",
        "[-]",
        "[1.]",
        "[.5]",
        "[1e]",
        "[+1]",
        "[tru]",
        "[truex]",
        "[nul]",
        "[\"\\x\"]",
        "[\"\\u12g4\"]",
        "[\"a\nb\"]",
        "[]]",
        "[][]",
        "[],",
        "{\"a\":[]} x",
        "\u{feff}[]",
        "[NaN]",
        "['a']",
        "[1]//",
    ] {
        assert!(split(None, text).is_err(), "{text}");
    }
    assert_eq!(pushed(None, &[b"[\"\xff\"]"], SIZES), Err(SplitError::Syntax));
    assert_eq!(pushed(None, &[b"{\"\xff\":1,\"a\":[]}"], SIZES), Err(SplitError::Syntax));
    assert_eq!(split(None, "[\"abc"), Err(SplitError::Half));
}

#[test]
fn depth_and_sizes_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(split(None, &nested(MAX_DEPTH)).is_ok());
    assert_eq!(split(None, &nested(MAX_DEPTH + 1)), Err(SplitError::Depth));
    assert_eq!(split(None, &"{\"a\":".repeat(100_000)), Err(SplitError::Depth));
    let sizes = Sizes { element: 10, outside: 20 };
    let of = |text: &str| pushed(path("/a"), &[text.as_bytes()], sizes);
    assert!(of(r#"{"a":["12345678","12345678"]}"#).is_ok());
    assert_eq!(of(r#"{"a":["123456789"]}"#), Err(SplitError::Element));
    assert_eq!(of(&format!("{{\"a\":[{}", "1".repeat(11))), Err(SplitError::Element), "before it ends");
    assert_eq!(of(r#"{"b":"1234567890123456","a":[]}"#), Err(SplitError::Outside));
    assert_eq!(of(&format!("{{\"{}", "k".repeat(30))), Err(SplitError::Outside), "a name, before it ends");
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    /// What serde_json reads from the parts is what it reads from the whole.
    #[test]
    fn the_parts_are_those_that_serde_json_finds(
        list in prop::collection::vec(any_value(), 0..6),
        around in prop::collection::btree_map("[a-z\"é]{1,3}", any_value(), 0..4),
        pretty in any::<bool>(),
        at in any::<prop::sample::Index>(),
    ) {
        let mut document: Map<String, Value> = around.clone().into_iter().collect();
        document.insert("the list".to_owned(), Value::from(list.clone()));
        let value = Value::Object(document);
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.expect("a document");
        let bytes = text.as_bytes();
        let at = at.index(bytes.len());
        let parts = pushed(path("/the list"), &[&bytes[..at], &bytes[at..]], SIZES).expect("well-formed");
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("a value");
        let found: Vec<Value> = elements(&parts).iter().map(|text| read(text.as_bytes())).collect();
        let again = serde_json::from_str::<Value>(&text).expect("a document");
        prop_assert_eq!(Value::from(found), again["the list"].clone());
        let members: Map<String, Value> =
            members(&parts).into_iter().map(|(_, key, value, _)| (key.to_owned(), read(value.as_bytes()))).collect();
        prop_assert_eq!(members.len(), around.len());
        for (key, value) in members {
            prop_assert_eq!(&again[&key], &value);
        }
    }

    /// A list with something wrong in it is accepted exactly if serde_json accepts it.
    #[test]
    fn the_same_texts_are_well_formed(value in any_value(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = format!("[{value}]").into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.remove(at); } else { bytes[at] = byte; }
        let serde: Result<Vec<Value>, _> = serde_json::from_slice(&bytes);
        let ours = pushed(path(""), &[&bytes], SIZES);
        // A lone surrogate and a number beyond f64 are well-formed (RFC 8259, 7 and 6); serde_json can't hold them.
        let unheld = serde.as_ref().is_err_and(|error| {
            let text = error.to_string();
            text.contains("surrogate") || text.contains("hex escape") || text.contains("number out of range")
        });
        prop_assert!(ours.is_ok() == serde.is_ok() || unheld, "{:?} {:?}", ours, serde);
    }

    #[test]
    fn no_bytes_make_it_fall(bytes in prop::collection::vec(prop_oneof![
        any::<u8>(), prop::sample::select(&b"[]{}\",:\\u0123456789eE+-. tfnrulasiem"[..])
    ], 0..200)) {
        for given in [None, path(""), path("/a"), path("/a/b")] {
            let outcome = pushed(given, &[&bytes], SIZES);
            if outcome.is_ok() {
                prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() || !bytes.is_empty());
            }
        }
    }
}
