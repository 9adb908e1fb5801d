use super::*;

fn url(text: &str) -> EndpointUrl {
    endpoint_url(text).expect("a URL")
}

fn put(file: &mut DropIn, name: &str, site: &str, urls: &[&str]) -> State {
    let urls: Vec<EndpointUrl> = urls.iter().copied().map(url).collect();
    let service = Written { name, about: Some(("image", "openstack")), urls: &urls };
    file.put(service, site).expect("well-formed")
}

#[test]
fn a_file_is_begun_and_read_back_the_same() {
    let mut file = DropIn::read("").expect("empty");
    assert_eq!(put(&mut file, "Glance", "Berlin", &["http://10.0.0.1:9292"]), State::Added);
    let twice = ["http://10.0.1.1:9292", "http://glance.paris/image"];
    assert_eq!(put(&mut file, "Glance", "Paris", &twice), State::Added);
    let text = file.text();
    assert_eq!(
        text,
        format!(
            "{INTRODUCTION}[[services]]\nname = \"Glance\"\ntype = \"image\"\nprofile = \"openstack\"\nendpoints = {{ \
             Berlin = \"http://10.0.0.1:9292\", Paris = [\"http://10.0.1.1:9292\", \"http://glance.paris:80/image\"] }}\n"
        )
    );
    let mut again = DropIn::read(&text).expect("well-formed");
    assert_eq!(put(&mut again, "Glance", "Paris", &twice), State::Same);
    assert_eq!(again.text(), text);
}

#[test]
fn what_else_stands_there_stays() {
    let before = "# by hand\n[[services]]\nname = \"Glance\" # ours\nexport = false\n\n[services.endpoints]\n\
        Berlin = \"http://10.0.0.1:9292/\"\n# the far one\nParis = \"http://10.0.1.1:9292\"\n\n\
        [[services]]\nname = \"Old\"\nendpoints = { Paris = \"http://10.0.1.1:1\", Berlin = \"http://10.0.0.1:1\" }\n\n\
        [[services]]\nname = \"Gone\"\nendpoints = { Paris = \"http://10.0.1.1:2\" }\n";
    let mut file = DropIn::read(before).expect("well-formed");
    assert_eq!(put(&mut file, "Glance", "Berlin", &["http://10.0.0.1:9292"]), State::Same);
    assert_eq!(put(&mut file, "Glance", "Paris", &["http://10.0.1.9:9292"]), State::Changed);
    let gone = file.keep_only(&BTreeSet::from(["Glance"]), "Paris").expect("well-formed");
    assert_eq!(gone, ["Old", "Gone"]);
    let after = file.text();
    for kept in ["# by hand", "# ours", "export = false", "# the far one\nParis = \"http://10.0.1.9:9292\"", "Old"] {
        assert!(after.contains(kept), "{kept}: {after}");
    }
    assert!(!after.contains("Gone") && !after.contains("10.0.1.1"), "{after}");
    assert_eq!(file.services().map(|(name, _)| name).collect::<Vec<_>>(), ["Glance", "Old"]);
}

#[test]
fn what_another_file_says_is_not_repeated() {
    let mut file = DropIn::read("\n").expect("empty");
    let service = Written { name: "Glance", about: None, urls: &[url("http://a:1")] };
    assert_eq!(file.put(service, "New York").expect("well-formed"), State::Added);
    let table = "[[services]]\nname = \"Glance\"\nendpoints = { \"New York\" = \"http://a:1\" }\n";
    assert!(file.text().ends_with(table), "{}", file.text());
}

#[test]
fn what_is_no_drop_in_is_refused() {
    let error = |text: &str| DropIn::read(text).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error("a = 1\nb = [\n").starts_with("line "), "{}", error("a = 1\nb = [\n"));
    assert!(error("services = []").contains("write it as [[services]]"));
    let mut file = DropIn::read("[[services]]\nname = \"Glance\"\nendpoints = 1\n").expect("TOML");
    let service = Written { name: "Glance", about: None, urls: &[url("http://a:1")] };
    assert!(file.put(service, "Paris").is_err());
}
