use super::*;

fn survey() -> Survey {
    let endpoints = ["http://a:1", "http://b:1", "http://c:1"].map(str::to_owned).into();
    Survey::new(&EtcdConfig { endpoints, ca: None, identity: None, user: None })
}

fn answer(millis: u64, member: u64, leader: u64) -> Result<Answer, Trouble> {
    let told = Told { id: member, leader: (leader != 0).then_some(leader), ..Told::default() };
    Ok(Answer { rtt: Duration::from_millis(millis), told: Some(told) })
}

fn told(all: &[(&str, Result<Answer, Trouble>)]) -> Answers {
    all.iter().map(|(url, answer)| ((*url).to_owned(), answer.clone())).collect()
}

fn away() -> Result<Answer, Trouble> {
    Err(Trouble::new(Kind::Away, "connection refused"))
}

#[test]
fn the_nearest_that_has_a_leader_is_asked() {
    let mut survey = survey();
    let all =
        told(&[("http://a:1", answer(30, 1, 2)), ("http://b:1", answer(10, 2, 2)), ("http://c:1", answer(1, 3, 0))]);
    assert_eq!(survey.nearest(&all).as_deref(), Ok("http://b:1"));
    survey.shun("http://b:1");
    assert_eq!(survey.nearest(&all).as_deref(), Ok("http://a:1"), "one that failed is left for others");
    survey.shun("http://a:1");
    assert_eq!(survey.nearest(&all).as_deref(), Ok("http://b:1"), "unless all failed");
}

#[test]
fn why_nobody_serves_is_said_of_each() {
    let none = told(&[("http://a:1", answer(1, 1, 0)), ("http://b:1", away()), ("http://c:1", away())]);
    let why = survey().nearest(&none).expect_err("nobody");
    assert_eq!(
        why,
        "http://b:1, http://c:1: connection refused; http://a:1: it has no leader: too few members are up and reach each \
         other"
    );
}

#[test]
fn a_little_nearer_is_not_nearer() {
    let survey = survey();
    let all = |a, b| told(&[("http://a:1", answer(a, 1, 1)), ("http://b:1", answer(b, 2, 1))]);
    assert_eq!(survey.nearer("http://a:1", &all(20, 18)), None);
    assert_eq!(survey.nearer("http://a:1", &all(2, 1)), None);
    assert_eq!(survey.nearer("http://a:1", &all(20, 5)).as_deref(), Some("http://b:1"));
    assert_eq!(survey.nearer("http://b:1", &all(20, 5)), None);
}

#[test]
fn members_that_were_not_asked_are_not_said_to_be_down() {
    let mut survey = survey();
    assert_eq!(survey.cluster(&told(&[])), None);
    let member = |id, name: &str, url: &str| Listed { id, name: name.into(), clients: vec![url.into()], peers: vec![] };
    survey.listed(vec![
        member(1, "one", "http://a:1"),
        member(2, "two", "http://b:1"),
        member(3, "three", "http://127.0.0.1:1"),
    ]);
    let cluster = survey.cluster(&told(&[("http://a:1", answer(1, 1, 1)), ("http://b:1", away())])).expect("listed");
    let up: Vec<Option<bool>> = cluster.members.iter().map(|member| member.up).collect();
    assert_eq!(up, [Some(true), Some(false), None]);
    assert_eq!(cluster.leader.as_deref(), Some("one"));
    assert!(!survey.urls().contains("http://127.0.0.1:1"), "loopback means another host there");
}

#[test]
fn alarms_are_read_from_what_members_complain_about() {
    assert_eq!(
        alarm("memberID:10276657743932975437 alarm:NOSPACE "),
        Some((10_276_657_743_932_975_437, "NOSPACE".into()))
    );
    assert_eq!(alarm("etcdserver: no leader"), None);
}
