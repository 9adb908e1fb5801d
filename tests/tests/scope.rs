//! Suite `scope`: scope-lang, its normal form, where a request carries it, and that no input hurts.

#[path = "scope/cases.rs"]
mod cases;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use cheops_agent::config::{HostHeader, ScopeCarriers, WhenAgentDown};
use cheops_agent::http::Code;
use cheops_agent::http::head::RequestHead;
use cheops_agent::metadata::{Service, Site, Snapshot};
use cheops_agent::scope::{self, Carrier, Expr, Item, MAX_BYTES, Name, Scope, ScopeError, Span, Star, carriers};
use nix::time::{ClockId, clock_gettime};
use proptest::prelude::*;

use self::cases::{INVALID, VALID};

#[test]
fn valid_scopes_have_a_normal_form_that_means_the_same() {
    let mut wrong = Vec::new();
    for (text, normal) in VALID {
        match scope::parse(text) {
            Err(error) => wrong.push(format!("{text}\n{}", error.render(text))),
            Ok(parsed) => {
                let json = parsed.to_json();
                if parsed.to_string() != *normal {
                    wrong.push(format!("{text} became {parsed}, not {normal}"));
                }
                for same in [*normal, &json] {
                    if scope::parse(same).as_ref() != Ok(&parsed) {
                        wrong.push(format!("{same} is not the same as {text}: {:?}", scope::parse(same)));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn faults_are_located_and_say_what_to_do() {
    let mut wrong = Vec::new();
    for (text, position, part) in INVALID {
        let error = match scope::parse(text) {
            Err(error) => error,
            Ok(scope) => {
                wrong.push(format!("{text} is taken as {scope}"));
                continue;
            }
        };
        let rendered = error.render(text);
        let span = error.span.unwrap_or_default();
        let length = span.end.saturating_sub(span.start);
        if span.start != *position || span.end > text.len() || span.start > span.end || !rendered.contains(part) {
            wrong.push(format!("{text:?} at {position}, {part}\n{rendered}"));
        }
        assert_eq!(error.code, Code::InvalidScope);
        assert_eq!(error.problem().position, error.span.map(|_| (span.start, length)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    println!("{} valid and {} invalid scopes", VALID.len(), INVALID.len());
    assert!(VALID.len() + INVALID.len() >= 150);
}

/// Sites and services that are known; a service is written `name` or `name/type`.
fn known(sites: &[&str], services: &[&str]) -> Snapshot {
    let site = |name: &&str| {
        let name = (*name).into();
        let site = Site { name, own: false, peers: Vec::new(), hosts: Vec::new() };
        (site.name.clone(), site)
    };
    let service = |text: &&str| {
        let (name, kind) = text.split_once('/').map_or((*text, None), |(name, kind)| (name, Some(kind.to_owned())));
        let profile = "rest".to_owned();
        let (when_agent_down, host) = (WhenAgentDown::Pass, HostHeader::Client);
        let endpoints = BTreeMap::new();
        Service { name: name.into(), kind, profile, when_agent_down, host, export: true, parameter: true, endpoints }
    };
    Snapshot {
        sites: sites.iter().map(site).collect(),
        services: services.iter().map(service).map(std::sync::Arc::new).collect(),
    }
}

fn resolved(text: &str, known: &Snapshot) -> Result<String, ScopeError> {
    scope::resolve(&scope::parse(text)?, known).map(|scope| scope.to_string())
}

#[test]
fn names_are_found_exactly_else_without_case_when_unambiguous() {
    let known = known(
        &["Berlin", "Paris", "New York", "Zürich", "nantes", "Nantes"],
        &["Nova/compute", "Glance/image", "image/registry", "Cinder/volume", "CINDER2/Volume", "S1/twin", "S2/twin"],
    );
    for (text, normal) in [
        ("{Nova: Berlin & Paris}", "{Nova: Berlin & Paris}"),
        ("{nova: BERLIN || paris}", "{Nova: Berlin || Paris}"),
        ("{compute: new york}", "{Nova: New York}"),
        ("{COMPUTE: Berlin}", "{Nova: Berlin}"),
        ("{nova: \"ZÜRICH\"}", "{Nova: \"Zürich\"}"),
        ("{Nova: Nantes}", "{Nova: Nantes}"),
        ("{Nova: nantes}", "{Nova: nantes}"),
        // a service's exact name wins over another's type
        ("{image: Berlin}", "{image: Berlin}"),
        ("{volume: Berlin}", "{Cinder: Berlin}"),
        ("{around: berlin, 5ms}", "{around: Berlin, 5ms}"),
        (
            "{nova: berlin % around(paris, 1s), prime(compute): BERLIN}",
            "{Nova: Berlin % around(Paris, 1s), prime(Nova): Berlin}",
        ),
        ("{nova: berlin % paris, prime: Paris}", "{Nova: Berlin % Paris, prime: Paris}"),
        (r#"{"compute": "berlin | (paris & *)"}"#, "{Nova: Berlin || (Paris & *)}"),
    ] {
        assert_eq!(resolved(text, &known).as_deref(), Ok(normal), "{text}");
    }
    for (text, position, code, rendered) in [
        ("{Nova: Berlim}", 7, Code::UnknownSite, "unknown site \"Berlim\" (position 7)"),
        ("{Nova: Berlim}", 7, Code::UnknownSite, "help: did you mean \"Berlin\"?"),
        ("{Nova: new  york}", 12, Code::InvalidScope, "join sites"),
        ("{Nova: Berlin & Pariss}", 16, Code::UnknownSite, "did you mean \"Paris\"?"),
        ("{Nova: Tokyo}", 7, Code::UnknownSite, "known sites: Berlin, Nantes, New York, Paris, Zürich, nantes"),
        ("{Nova: NANTES}", 7, Code::UnknownSite, "write \"Nantes\" or \"nantes\""),
        ("{Novva: Berlin}", 1, Code::UnknownService, "did you mean \"Nova\"?"),
        ("{computer: Berlin}", 1, Code::UnknownService, "did you mean \"compute\"?"),
        ("{Swift: Berlin}", 1, Code::UnknownService, "known services: "),
        ("{VOLUME: Berlin}", 1, Code::UnknownService, "is ambiguous"),
        ("{twin: Berlin}", 1, Code::UnknownService, "write \"S1\" or \"S2\""),
        ("{around: Berlun, 5ms}", 9, Code::UnknownSite, "did you mean \"Berlin\"?"),
        ("{Nova: Berlin % Paris, prime: Pari}", 30, Code::InvalidScope, "not among the crossed sites"),
        // names that turn out to be the same
        ("{Nova: Berlin, nova: Paris}", 15, Code::InvalidScope, "service \"Nova\" is bound twice"),
        ("{Nova: Berlin, compute: Paris}", 15, Code::InvalidScope, "bound twice"),
        ("{Nova: Berlin & berlin}", 16, Code::InvalidScope, "stands here twice"),
        ("{Nova: Paris % (Berlin || berlin)}", 26, Code::InvalidScope, "stands here twice"),
    ] {
        let error = resolved(text, &known).expect_err(text);
        assert_eq!((error.span.unwrap_or_default().start, error.code), (position, code), "{}", error.render(text));
        assert!(error.render(text).contains(rendered), "{}", error.render(text));
    }
    let nothing = resolved("{Nova: Berlin}", &Snapshot::default()).expect_err("nothing is known");
    assert!(nothing.to_string().contains("unknown service"), "{nothing}");
}

fn head(text: &str) -> RequestHead {
    RequestHead::parse(Bytes::copy_from_slice(text.as_bytes()), 100).expect(text)
}

/// What [`carriers::find`] makes of a request with this target and these field lines: the scope, and the head left over.
fn found(target: &str, fields: &str, parameter: bool) -> Result<Option<(Scope, Carrier, String)>, ScopeError> {
    let names = ScopeCarriers { header: "X-Scope".into(), parameter: "scope".into() };
    let head = head(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}Z: 1\r\n\r\n"));
    let carried = carriers::find(&head, &names, parameter)?;
    assert!(carried.is_none() || carriers::may_carry(&head, &names));
    Ok(carried.map(|carried| {
        let left = head.without(&carried.cut);
        (carried.scope, carried.source, String::from_utf8(left.to_vec()).expect("ASCII"))
    }))
}

#[test]
fn the_header_is_cut_and_nothing_else_changes() {
    for (fields, left) in [
        ("X-Scope: {A: B}\r\n", ""),
        ("x-sCOPE:{A: B}\r\n", ""),
        ("X-Scope: \t {A: B} \r\n", ""),
        ("One: 1\r\nX-Scope: {A: B}\r\ntWO:  2\r\nOne: 3\r\n", "One: 1\r\ntWO:  2\r\nOne: 3\r\n"),
        ("X-Scope2: {A: C}\r\nX-Scope: A: B\r\n", ""),
    ] {
        let carried = found("/x?scope=1", fields, true);
        if fields.contains("X-Scope2") {
            assert!(carried.is_err());
            continue;
        }
        let (scope, source, head) = carried.expect(fields).expect(fields);
        assert_eq!((scope.to_string().as_str(), source), ("{A: B}", Carrier::Header));
        assert_eq!(head, format!("GET /x?scope=1 HTTP/1.1\r\nHost: a\r\n{left}Z: 1\r\n\r\n"));
    }
    let (scope, ..) = found("/", "X-Scope: Berlin & Paris\r\n", false).expect("valid").expect("there");
    assert_eq!(scope.to_string(), "{Berlin & Paris}", "a header needs no braces");
}

#[test]
fn the_parameter_is_cut_with_the_sign_that_joins_it() {
    for (target, left) in [
        ("/x?scope={A:B}", "/x"),
        ("/x?scope=%7BA%3A%20B%7D", "/x"),
        ("/x?scope=%7bA:+B%7d", "/x"),
        ("/x?scope={A:B}&b=2", "/x?b=2"),
        ("/x?a=1&scope={A:B}", "/x?a=1"),
        ("/x?a=1&scope={A:B}&b=2", "/x?a=1&b=2"),
        ("/x?a=1&&scope={A:B}&&b", "/x?a=1&&&b"),
        ("/x?&scope={A:B}", "/x?"),
        ("/x?scope={A:B}&", "/x?"),
        ("/x?scope=all&scope={A:B}&scope=some", "/x?scope=all&scope=some"),
        ("/x?Scope={A:C}&scope={A:B}", "/x?Scope={A:C}"),
        ("/x?myscope={A:C}&scope={A:B}", "/x?myscope={A:C}"),
        ("/x?a=?&scope={A:B}", "/x?a=?"),
        ("http://h:80/x?scope={A:B}&b=%zz", "http://h:80/x?b=%zz"),
        ("http://h?scope={A:B}", "http://h"),
        ("/x?a=%7B%7D&scope=%7B%22A%22:%22B%22%7D", "/x?a=%7B%7D"),
    ] {
        let (scope, source, head) = found(target, "", true).expect(target).expect(target);
        assert_eq!((scope.to_string().as_str(), source), ("{A: B}", Carrier::Parameter), "{target}");
        assert_eq!(head, format!("GET {left} HTTP/1.1\r\nHost: a\r\nZ: 1\r\n\r\n"), "{target}");
    }
    let error = found("?scope={A:B}", "", true).expect_err("nothing would be left of the target");
    assert_eq!(error.code, Code::MalformedRequest);
    let error = found("/x?scope=%7BA:%20B%26C%25D%7D", "", true).expect_err("decoded, & and % meet");
    assert_eq!(error.span, Some(Span { start: 7, end: 8 }), "located in the decoded text: {error}");
}

#[test]
fn a_parameter_that_is_the_applications_own_is_left_alone() {
    for (target, parameter) in [
        ("/x", true),
        ("/x?", true),
        ("/x?scope", true),
        ("/x?scope=", true),
        ("/x?scope=openid+profile", true),
        ("/x?scope=%20{A:B}", true),
        ("/x?scope=[{A:B}]", true),
        ("/x?scop%65={A:B}", true),
        ("/x?a=scope={A:B}", true),
        ("/scope={A:B}", true),
        ("*", true),
        // the configuration says that the service has such a parameter itself
        ("/x?scope={A:B}", false),
        ("/x?scope={broken", false),
    ] {
        assert_eq!(found(target, "", parameter), Ok(None), "{target}");
    }
}

#[test]
fn several_scopes_and_broken_ones_are_refused() {
    for (target, fields, code, part) in [
        ("/", "X-Scope: {A: B}\r\nx-scope: {A: B}\r\n", Code::SeveralScopes, "several X-Scope headers"),
        ("/?scope={A:B}", "X-Scope: {A: B}\r\n", Code::SeveralScopes, "both a X-Scope header and a scope parameter"),
        ("/?scope={A:B}&scope={A:B}", "", Code::SeveralScopes, "several scope parameters"),
        ("/?scope={A:B}&scope=%7B", "", Code::SeveralScopes, "several scope parameters"),
        ("/", "X-Scope:\r\n", Code::InvalidScope, "expected a site"),
        ("/", "X-Scope: {A: B\r\n", Code::InvalidScope, "expected \",\" or \"}\""),
        ("/?scope={A:%ff}", "", Code::InvalidScope, "UTF-8"),
        ("/?scope={A:B%Dallas}", "", Code::InvalidScope, "UTF-8"),
        ("/?scope={A", "", Code::InvalidScope, "expected"),
    ] {
        let error = found(target, fields, true).expect_err(target);
        assert_eq!(error.code, code, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.problem().code.status(), 400);
    }
    // only what counts is looked at
    assert!(found("/?scope={A:B}", "X-Scope: {A: B}\r\n", false).expect("the header alone").is_some());
    let long = format!("X-Scope: {{A: {}}}\r\n", "B".repeat(MAX_BYTES));
    assert!(found("/", &long, true).expect_err("too long").to_string().contains("at most 4096 bytes"));
}

#[test]
fn bytes_that_are_no_text_are_located() {
    let error = scope::parse_bytes(b"{A: \xff}").expect_err("no text");
    assert_eq!(error.span, Some(Span { start: 4, end: 5 }));
    assert_eq!(scope::parse_bytes(b"{A: \xe2\x82").expect_err("cut").span, Some(Span { start: 4, end: 6 }));
    assert!(scope::parse_bytes(b"{A: B}").is_ok());
}

#[test]
fn sizes_are_limited() {
    let name = "B".repeat(MAX_BYTES - 4);
    assert!(scope::parse(&format!("{{A: {name}")).is_err());
    let whole = format!("{{A:{name}}}");
    assert_eq!(whole.len(), MAX_BYTES);
    assert!(scope::parse(&whole).is_ok());
    let error = scope::parse(&format!("{whole} ")).expect_err("one too many");
    assert_eq!(error.span, Some(Span { start: MAX_BYTES, end: MAX_BYTES + 1 }));
    let deep = |depth: usize| format!("{}A{}", "(".repeat(depth), ")".repeat(depth));
    assert!(scope::parse(&deep(16)).is_ok());
    assert!(scope::parse(&deep(17)).is_err());
    assert!(scope::parse(&deep(MAX_BYTES / 2 - 1)).is_err());
    assert!(scope::parse(&format!("{{\"a\":{}", "[".repeat(4000))).is_err());
}

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

/// How long this thread has worked: other programs on the machine don't count.
fn busy() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
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

/// `cheops scope …`, as a person runs it: exit code, standard output, standard error.
fn cheops(arguments: &[&str]) -> (i32, String, String) {
    let program = cheops_tests::lab::program("cheops").expect("built");
    let output = std::process::Command::new(program).arg("scope").args(arguments).output().expect("cheops runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

#[test]
fn a_typo_is_shown_with_its_place_and_remedy() {
    let (code, out, err) = cheops(&["parse", "{Nova: Berlim & Paris}", "--sites", "Berlin,Paris"]);
    assert_eq!((code, out.as_str()), (1, ""));
    let expected = "error: unknown site \"Berlim\" (position 7)\n  | {Nova: Berlim & Paris}\n  |        ^^^^^^\n\
                    help: did you mean \"Berlin\"?\n";
    assert_eq!(err, expected);
    // every fault at once, and no others
    let (code, _, err) = cheops(&["parse", "{Nova: Berlim || Pari}", "--sites", "Berlin,Paris", "--services", "Nova"]);
    assert_eq!((code, err.matches("error:").count()), (1, 2), "{err}");
    let (code, out, _) = cheops(&["fmt", "{Nova: Berlim}", "--sites", "Berlin", "-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &document["problems"][0]["position"]), (1, &7.into()), "{out}");
    assert_eq!(document["problems"][0]["hint"], "did you mean \"Berlin\"?");
}

#[test]
fn the_command_shows_trees_and_normal_forms() {
    let (code, out, _) =
        cheops(&["fmt", "{nova:berlin|paris}", "--sites", "Berlin,Paris", "--services", "Nova/compute"]);
    assert_eq!((code, out.as_str()), (0, "{Nova: Berlin || Paris}\n"));
    let (code, out, _) = cheops(&["fmt", "{compute:", "Berlin}", "--sites", "Berlin", "--services", "Nova/compute"]);
    assert_eq!((code, out.as_str()), (0, "{Nova: Berlin}\n"), "words that a shell has split");
    let (code, out, _) = cheops(&["parse", "{A: B & C}", "--sites", "B,C"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("{A: B & C}\n└── service A\n    └── & replication"), "{out}");
    assert_eq!(cheops(&["parse"]).0, 2);
    let (code, _, err) = cheops(&["parse", "{A: B", "--socket", "/nowhere"]);
    assert!(code == 1 && err.contains("expected \",\" or \"}\""), "{err}");
    let (code, out, err) = cheops(&["fmt", "{A:B}", "--socket", "/nowhere"]);
    assert_eq!((code, out.as_str()), (0, "{A: B}\n"));
    assert!(err.starts_with("note: ") && err.contains("only the syntax was checked"), "{err}");
}

/// An admin socket that knows one site and one service.
fn admin(path: &std::path::Path) -> std::thread::JoinHandle<()> {
    use std::io::{Read, Write};
    let listener = std::os::unix::net::UnixListener::bind(path).expect("bound");
    std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut connection, _) = listener.accept().expect("accepted");
            let mut request = [0; 1024];
            let length = connection.read(&mut request).expect("read");
            let body = if request[..length].starts_with(b"GET /v1/sites ") {
                r#"{"sites": [{"name": "Berlin"}]}"#
            } else {
                r#"{"services": [{"name": "Nova", "type": "compute"}]}"#
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            connection.write_all((head + body).as_bytes()).expect("written");
        }
    })
}

#[test]
fn the_agents_names_are_asked_for() {
    let directory = tempfile::tempdir().expect("made");
    let socket = directory.path().join("admin.sock");
    let agent = admin(&socket);
    let (code, out, err) = cheops(&["fmt", "{COMPUTE: berlin}", "--socket", socket.to_str().expect("text")]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "{Nova: Berlin}\n", ""));
    agent.join().expect("both were asked");
}
