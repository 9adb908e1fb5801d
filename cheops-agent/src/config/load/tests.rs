use super::*;

const BERLIN: &str = r#"
site = "Berlin"
host = "b1"

[peer]
listen = "10.77.0.1:7117"
ca = "ca.pem"
cert = "berlin.pem"
key = "berlin.key"

[[sites]]
name = "Paris"
peer = "10.77.0.2:7117"

[[services]]
name = "Glance"
type = "image"
profile = "openstack"
endpoints = { Berlin = ["http://10.77.0.1:9292", "http://127.0.0.1:9292"], Paris = "http://10.77.0.2:9292" }
"#;

fn errors(text: &str) -> String {
    from_text(text).expect_err("must be refused").to_string()
}

fn warnings(text: &str) -> String {
    let loaded = from_text(text).unwrap_or_else(|error| panic!("{error}"));
    loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_specifications_example_is_read() {
    let loaded = from_text(BERLIN).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.warnings, vec![]);
    let config = loaded.config;
    assert_eq!(config.site.as_str(), "Berlin");
    assert_eq!(config.services[0].endpoints["Berlin"].len(), 2);
    assert_eq!(config.timeouts.connect.as_secs(), 5);
    assert_eq!(config.limits.head_bytes, 65536);
    assert_eq!(config.admin.socket.to_str(), Some("/run/cheops/admin.sock"));
}

#[test]
fn one_line_is_enough() {
    let config = from_text("site = \"Berlin\"").unwrap_or_else(|error| panic!("{error}")).config;
    assert!(!config.host.as_str().is_empty());
    assert_eq!(config.peer, None);
}

#[test]
fn several_mistakes_are_reported_together_in_the_files_order() {
    let text = errors("sitte = \"Berlin\"\n[timeouts]\nconnect = 5\n[intercept]\nmode = \"ebfp\"\n");
    let messages: Vec<&str> = text.lines().filter(|line| line.starts_with("agent.toml:")).collect();
    assert_eq!(
        messages,
        [
            "agent.toml:1:1: error: unknown key \"sitte\": did you mean \"site\"?",
            "agent.toml:1:1: error: \"site\" is missing. This host's site.",
            "agent.toml:3:11: error: \"connect\" must be a duration, such as \"500ms\", \"30s\", \"5m\"; this is 5",
            "agent.toml:5:8: error: \"mode\" must be \"ebpf\" or \"off\": did you mean \"ebpf\"?",
        ],
        "{text}"
    );
    assert!(text.contains(" 3 | connect = 5\n   |           ^"), "{text}");
}

#[test]
fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
    assert!(errors("site = \"B\"\nconnect = \"5s\"").contains("\"connect\" belongs to [timeouts]"));
    assert!(errors("site = \"B\"\n[admin]\nthreads = 2").contains("\"threads\" stands before the first [table]"));
}

#[test]
fn syntax_errors_are_located() {
    let text = errors("site = \"Berlin\"\nhost = \n");
    assert!(text.starts_with("agent.toml:2:"), "{text}");
}

#[test]
fn each_key_refuses_a_value_of_another_type() {
    for key in crate::config::keys::KEYS {
        let (section, name) = crate::config::keys::split(key.path);
        let header = match section.strip_suffix("[]") {
            _ if section.is_empty() => String::new(),
            Some(list) => format!("[[{list}]]\n"),
            None => format!("[{section}]\n"),
        };
        let text = errors(&format!("{header}{name} = 1979-05-27\n"));
        assert!(text.contains(&format!("\"{name}\" must be ")), "{}: {text}", key.path);
    }
}

#[test]
fn rules_between_values() {
    let service = |rest: &str| {
        format!("site = \"B\"\n[[sites]]\nname = \"P\"\npeer = \"127.0.0.1:1\"\n[[services]]\nname = \"S\"\n{rest}")
    };
    let etcd = |rest: &str| format!("site = \"B\"\n[metadata]\nbackend = \"etcd\"\n{rest}");
    for (text, expected) in [
        (service("endpoints = { Q = \"http://a:1\" }"), "5:0"),
        ("site = \"around\"".into(), "\"around\" is reserved"),
        ("site = \"a&b\"".into(), "a name can't hold \"&\""),
        ("site = \"\"".into(), "a name can't be empty"),
        ("site = \"B\"\nhost = \"a/b\"".into(), "only letters, digits"),
        ("site = \"B\"\n[scope]\nheader = \"Host\"".into(), "means something else in HTTP"),
        ("site = \"B\"\n[scope]\nheader = \"a b\"".into(), "is not a header's name"),
        ("site = \"B\"\n[scope]\nparameter = \"a=b\"".into(), "a query parameter's name"),
        ("site = \"B\"\n[intercept]\ncgroup = \"x\"".into(), "absolute path"),
        ("site = \"B\"\n[intercept]\nprobe-every = \"1ms\"".into(), "at least \"1s\""),
        ("site = \"B\"\n[peer]\nlisten = \"10.0.0.1:1\"\ncertificate-life = \"2161h\"".into(), "to \"2160h\""),
        ("site = \"B\"\n[peer]\nlisten = \"10.0.0.1:1\"\nprobe-nearest = 257".into(), "\"probe-nearest\" must be from 0 to 256"),
        ("site = \"B\"\n[peer]\nlisten = \"10.0.0.1:1\"\nprobe-successors = 0".into(), "must be from 1 to 16"),
        ("site = \"B\"\n[peer]\nlisten = \"10.0.0.1:1\"\nprobe-sample = 1".into(), "must be from 2 to 256"),
        ("site = \"B\"\n[limits]\nhead-bytes = 1".into(), "must be from 1024"),
        ("site = \"B\"\n[limits]\nheaders = 2000".into(), "\"headers\" must be from 8 to 1024"),
        ("site = \"B\"\n[limits]\nchunk-extension-bytes = \"2MiB\"".into(), "must be from 0 to 1048576"),
        ("site = \"B\"\n[limits]\ntrailer-bytes = 1".into(), "\"trailer-bytes\" must be from 128"),
        ("site = \"B\"\n[limits]\npipelined-bytes = 1".into(), "\"pipelined-bytes\" must be from 4096"),
        ("site = \"B\"\n[limits]\npending = 0".into(), "\"pending\" must be from 1"),
        ("site = \"B\"\n[limits]\nrefusals = 100000".into(), "\"refusals\" must be from 0 to 65536"),
        ("site = \"B\"\n[limits]\nbacklog = 0".into(), "\"backlog\" must be from 1"),
        ("site = \"B\"\n[limits]\ndescriptors = 10".into(), "\"descriptors\" must be 0 or at least 64"),
        ("site = \"B\"\n[timeouts]\nheader-read = \"0s\"".into(), "\"header-read\" must be from 10ms"),
        ("site = \"B\"\n[timeouts]\nkeepalive = \"10h\"".into(), "\"keepalive\" must be from 1s to 32767s"),
        ("site = \"B\"\nthreads = 5000".into(), "at most 1024"),
        (etcd("endpoints = [\"http://a:1\"]"), "needs [peer]"),
        (etcd(""), "needs \"endpoints\""),
        (etcd("endpoints = []"), "needs \"endpoints\""),
        (etcd("endpoints = [\"a:1\"]"), "not a URL"),
        (etcd("endpoints = [\"http://a:1/b\"]"), "has no path: write http://a:1"),
        (etcd("endpoints = [\"http://a:1\", \"http://A:1/\"]"), "stands here twice"),
        (etcd("endpoints = [\"http://a:1\", \"https://b:1\"]\nca = \"/ca\""), "all http or all https"),
        (etcd("endpoints = [\"https://a:1\"]"), "need \"ca\""),
        (etcd("endpoints = [\"http://a:1\"]\nca = \"/ca\""), "\"ca\" means nothing for http"),
        (etcd("endpoints = [\"https://a:1\"]\nca = \"/ca\"\ncert = \"/c\""), "\"cert\" needs \"key\""),
        (etcd("endpoints = [\"https://a:1\"]\nca = \"/ca\"\nkey = \"/k\""), "\"key\" needs \"cert\""),
        (etcd("endpoints = [\"http://a:1\"]\ncert = \"/c\"\nkey = \"/k\""), "\"cert\" means nothing for http"),
        (etcd("endpoints = [\"http://a:1\"]\nuser = \"u\""), "\"user\" needs \"password-file\""),
        (etcd("endpoints = [\"http://a:1\"]\npassword-file = \"/p\""), "\"password-file\" needs \"user\""),
        (etcd("endpoints = [\"http://a:1\"]\nuser = \"u\"\npassword-file = \"/etc/passwd\""), "can read or change"),
        ("site = \"B\"\n[log]\nlevel = \"a=b=c\"".into(), "can't be read"),
        ("site = \"B\"\n[admin]\nlisten = \"10.0.0.1:1\"".into(), "must be a loopback address"),
        ("site = \"B\"\n[peer]\nlisten = \"127.0.0.1:1\"\nca = \"/ca\"".into(), "\"key\" is missing in [peer]"),
        ("site = \"B\"\n[peer]\nlisten = \"10.0.0.1:1\"\ninsecure = true".into(), "needs a loopback address"),
        (
            "site = \"B\"\n[peer]\nlisten = \"127.0.0.1:1\"\ninsecure = true\n[[sites]]\nname = \"P\"\npeer = \"10.0.0.1:1\"".into(),
            "for loopback peers only",
        ),
        ("site = \"B\"\n[[sites]]\nname = \"P\"\npeer = \"paris\"".into(), "is not host:port"),
        ("site = \"B\"\n[[sites]]\nname = \"P\"\npeer = []\n[[sites]]\nname = \"P\"\npeer = []".into(), "stands in line 3 already"),
        (service("endpoints = { B = \"http://a:1\" }\n[[services]]\nname = \"S\"\nendpoints = {}"), "\"S\" stands in line 6 already"),
        (service("endpoints = { B = \"a:1\" }"), "not a URL"),
        (service("endpoints = { B = [] }"), "list of URLs is empty"),
        (service("endpoints = { B = [\"http://a:1\", \"http://A:1/\"] }"), "stands here twice"),
        (service("endpoints = { B = \"http://a:1\", P = \"http://a:1\" }"), "two entry sites"),
        (service("endpoints = { B = \"http://a:1\" }\n[[services]]\nname = \"T\"\nendpoints = { B = \"http://a:1\" }"), "path prefix"),
        (service("endpoints = { B = \"http://127.65.0.1:1\" }"), "127.64.0.0/10"),
        (service("endpoints = { B = \"http://127.0.0.1:9\" }\n[admin]\nlisten = \"127.0.0.1:9\""), "the agent's own address"),
    ] {
        let expected = if expected == "5:0" { "unknown site \"Q\": add [[sites]]" } else { expected };
        let found = errors(&text);
        assert!(found.contains(expected), "{expected}\n--\n{text}\n--\n{found}");
        assert!(found.starts_with("agent.toml:") || found.contains("log.level"), "{found}");
    }
}

#[test]
fn a_mistyped_site_is_suggested() {
    let text = errors(&BERLIN.replace("Paris = \"http", "Pariss = \"http"));
    assert!(text.contains("unknown site \"Pariss\": did you mean \"Paris\"?"), "{text}");
}

#[test]
fn what_is_odd_but_works_is_warned_about() {
    for (change, expected) in [
        (("{ Berlin = [\"http://10.77.0.1:9292\", \"http://127.0.0.1:9292\"], ", "{ "), "no endpoint at Berlin"),
        (("http://10.77.0.2:9292", "http://127.0.0.1:9292"), "means this host, not Paris's"),
        (("peer = \"10.77.0.2:7117\"", "peer = []"), "has no agent's address"),
    ] {
        let text = warnings(&BERLIN.replace(change.0, change.1));
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let alone = "site = \"B\"\n[metadata]\nuser = \"u\"";
    assert!(warnings(&format!("{alone}\npassword-file = \"/p\"")).contains("means nothing without backend"));
    let lonely = "site = \"B\"\n[[sites]]\nname = \"P\"\npeer = \"10.0.0.1:1\"";
    assert!(warnings(lonely).contains("without [peer]"));
    let types = "site = \"B\"\n[[services]]\nname = \"S\"\ntype = \"t\"\nendpoints = { B = \"http://a:1\" }\n[[services]]\nname = \"s\"\ntype = \"t\"\nendpoints = { B = \"http://a:2\" }";
    assert!(warnings(types).contains("type \"t\" is S's too"));
    assert!(warnings(types).contains("but for the case"));
}

#[test]
fn one_loopback_alias_may_stand_for_several_sites_hosts() {
    let text = BERLIN.replace("http://10.77.0.2:9292", "http://127.0.0.1:9292");
    assert!(from_text(&text).is_ok());
}

#[test]
fn drop_ins_are_merged_and_later_ones_win() {
    let directory = tempfile::tempdir().expect("a directory");
    let main = directory.path().join("agent.toml");
    fs::write(&main, format!("threads = 1\n{BERLIN}[timeouts]\nconnect = \"1s\"\nidle = \"2s\"\n")).expect("written");
    let drop_ins = directory.path().join("agent.d");
    fs::create_dir(&drop_ins).expect("made");
    fs::write(drop_ins.join("20-b.toml"), "threads = 3\n[timeouts]\nconnect = \"9s\"\n").expect("written");
    fs::write(drop_ins.join("10-a.toml"), "threads = 2\n[[services]]\nname = \"Glance\"\nexport = false\n[[services]]\nname = \"Nova\"\nendpoints = { Berlin = \"http://a:1\" }\n").expect("written");
    fs::write(drop_ins.join("note.txt"), "not = [read").expect("written");
    let loaded = load(&main).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.files.len(), 3);
    let config = loaded.config;
    assert_eq!(config.threads, 3);
    assert_eq!((config.timeouts.connect.as_secs(), config.timeouts.idle.as_secs()), (9, 2));
    assert_eq!(config.services.len(), 2);
    assert!(!config.services[0].export);
    assert_eq!(config.services[0].kind.as_deref(), Some("image"));

    fs::write(drop_ins.join("30-c.toml"), "\n[timeoutz]\n").expect("written");
    let error = load(&main).expect_err("refused").to_string();
    assert!(
        error.contains("agent.d/30-c.toml:2:2: error: unknown key \"timeoutz\": did you mean \"timeouts\"?"),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("/nonexistent/agent.toml")).expect_err("refused").to_string();
    assert!(error.contains("/nonexistent/agent.toml: No such file"), "{error}");
}

#[test]
fn a_cluster_of_etcd_is_read() {
    let text = "site = \"B\"\n[peer]\nlisten = \"127.0.0.1:1\"\n[metadata]\nbackend = \"etcd\"\nendpoints = [\"https://a:2379/\", \"https://[::1]:2379\"]\n\
                ca = \"/ca\"\ncert = \"/c\"\nkey = \"/k\"\nuser = \"u\"\npassword-file = \"/p\"";
    let loaded = from_text(text).unwrap_or_else(|error| panic!("{error}"));
    let MetadataConfig::Etcd(etcd) = loaded.config.metadata else { panic!("etcd") };
    assert_eq!(etcd.endpoints, ["https://a:2379", "https://[::1]:2379"]);
    assert_eq!((etcd.ca, etcd.identity), (Some("/ca".into()), Some(("/c".into(), "/k".into()))));
    assert_eq!(etcd.user, Some(("u".to_owned(), "/p".into())));
}
