//! No input hurts: time, size, and whatever text.

use cheops_tests::lab::busy;

use super::*;

/// The worst of its kind for `length` bytes: many small parts of each sort.
fn hostile(length: usize) -> Vec<String> {
    let names = |sign: &str| {
        (0..)
            .map(|n| format!("s{n}{sign}"))
            .scan(0, |size, part| {
                *size += part.len();
                (*size < length).then_some(part)
            })
            .collect::<String>()
    };
    let fill = |part: &str| part.repeat(length / part.len());
    vec![
        format!("{}z", names("&")),
        format!("{}z", names("%")),
        format!("{}z", names("|")),
        format!("{}z:z", names(":A,")),
        fill("A&"),
        fill("A A"),
        fill("around(A,1s),"),
        fill("{"),
        fill("("),
        fill("\""),
        fill("\"A\","),
        fill("{\"a\":"),
        format!("{{{}\"z\":\"z\"}}", names("\":\"B\",\"").replacen('s', "\"s", 1)),
        fill("ä"),
        fill("1"),
        format!("{{around: A, 0.{}1s}}", fill("0")),
        format!("{{\"a\":\"{}\"}}", fill("\\u0061")),
        format!("{{A: z%y, {}}}", fill("prime: z, ")),
        format!("{{A: z%y, {}: B}}", names("): z, prime(").replacen("s0)", "prime(s0)", 1)),
    ]
}

#[test]
fn time_grows_no_faster_than_the_text() {
    let known = known(&["Berlin", "Paris"], &["Nova"]);
    let time = |text: &str| {
        let once = || {
            let start = busy();
            if let Ok(scope) = scope::parse(text) {
                let _unknown = scope::resolve(&scope, &known).is_err();
            }
            busy().saturating_sub(start)
        };
        (0..15).map(|_| once()).min().unwrap_or_default()
    };
    for (short, long) in hostile(250).iter().zip(&hostile(4000)) {
        let (short_time, long_time) = (time(short), time(long));
        let begin: String = long.chars().take(20).collect();
        println!("{begin:<24} {short_time:>10.1?} {long_time:>10.1?}");
        // 16 times the text; a square would need 256 times the time. The floor keeps out what a clock can't tell.
        let floor = Duration::from_micros(20);
        assert!(long_time < short_time.max(floor) * 80, "{begin}…: {short_time:?} → {long_time:?}");
        assert!(long_time < Duration::from_millis(100), "{begin}…: {long_time:?}");
    }
}

fn name() -> impl Strategy<Value = Name> {
    let plain = "[A-Za-z][A-Za-z0-9._-]{0,6}( [A-Za-z0-9._-]{1,5}){0,2}";
    let quoted = "[^\\p{C}\\s{}(),:&%|*\"]{1,6}( {1,2}[^\\p{C}\\s{}(),:&%|*\"]{1,5}){0,2}";
    prop_oneof![4 => plain, 1 => quoted]
        .prop_filter("reserved", |text| !text.split(' ').any(|word| ["prime", "around", "otherwise"].contains(&word)))
        .prop_map(|text| Name { text, span: Span::default() })
}

fn within() -> impl Strategy<Value = Duration> {
    prop_oneof![(1..u64::MAX).prop_map(Duration::from_nanos), (1..100_000_u64).prop_map(Duration::from_millis)]
}

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        8 => name().prop_map(Expr::Site),
        1 => (name(), within()).prop_map(|(site, within)| Expr::Around { site, within }),
        1 => Just(Expr::All(Star::default())),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::replicate),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::cross),
            prop::collection::vec(inner, 1..4).prop_map(Expr::otherwise),
        ]
    })
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        6 => (name(), expr()).prop_map(|(service, expr)| Item::Bind { service, expr }),
        1 => expr().prop_map(Item::Bare),
        1 => (name(), within()).prop_map(|(site, within)| Item::Around { site, within }),
        1 => (prop::option::of(name()), name()).prop_map(|(service, site)| Item::Prime { service, site }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// parse(print(x)) = x, in both forms, for every scope that the rules beyond the grammar allow.
    #[test]
    fn printing_and_parsing_give_the_scope_back(items in prop::collection::vec(item(), 1..4)) {
        let scope = Scope { items };
        let normal = scope.to_string();
        match scope::parse(&normal) {
            Ok(parsed) => {
                prop_assert_eq!(&parsed, &scope, "{}", normal);
                prop_assert_eq!(parsed.to_string(), normal);
                prop_assert_eq!(scope::parse(&scope.to_json()), Ok(scope));
            }
            Err(error) => {
                let allowed = ["twice", "prime", "crossed", "at most"];
                let message = error.to_string();
                prop_assert!(allowed.iter().any(|part| message.contains(part)), "{}", error.render(&normal));
            }
        }
    }

    /// No text panics; a fault lies within the text; what parses is printed and parsed again to the same.
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
        judged(&text)?;
    }

    #[test]
    fn any_text_of_the_languages_own_signs_is_parsed_or_refused(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "(", ")", ":", ",", "&", "%", "|", "||", "*", "\"", " ", "  ", "A", "B", "Nova", "prime",
                "around", "otherwise", "50ms", "1.", "é", "\\", "\\u00e4", "\t", "\n", "\u{0}", "[", "]", "null", "1",
            ]),
            0..30,
        )
    ) {
        judged(&parts.concat())?;
    }

    /// Whatever else is in a query, exactly the scope leaves it.
    #[test]
    fn a_cut_query_is_the_query_without_its_scope(
        before in prop::collection::vec("[a-z]{0,3}(=[a-z0-9%+]{0,4})?", 0..4),
        after in prop::collection::vec("[a-z]{0,3}(=[a-z0-9%+]{0,4})?", 0..4),
    ) {
        let with = [before.clone(), vec!["scope={A:B}".to_owned()], after.clone()].concat().join("&");
        let rest = [before, after].concat();
        let left = if rest.is_empty() { "/x".to_owned() } else { format!("/x?{}", rest.join("&")) };
        let (scope, _, head) = found(&format!("/x?{with}"), "", true).expect("valid").expect("there");
        prop_assert_eq!(scope.to_string(), "{A: B}");
        prop_assert_eq!(head, format!("GET {left} HTTP/1.1\r\nHost: a\r\nZ: 1\r\n\r\n"));
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _refused = scope::parse_bytes(&bytes).is_err();
    }
}

fn judged(text: &str) -> Result<(), TestCaseError> {
    if let Ok(completed) = scope::Completed::parse(text) {
        prop_assert_eq!(scope::Completed::parse(&completed.to_string()), Ok(completed));
    }
    match scope::parse(text) {
        Ok(parsed) => prop_assert_eq!(scope::parse(&parsed.to_string()), Ok(parsed)),
        Err(error) => {
            let span = error.span.unwrap_or_default();
            prop_assert!(span.start <= span.end && span.end <= text.len(), "{:?}", error);
            prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end), "{:?}", error);
            prop_assert!(error.render(text).contains('^'));
        }
    }
    Ok(())
}
