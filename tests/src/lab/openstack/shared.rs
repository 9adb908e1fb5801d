//! One cloud for the tests of a suite: starting three sites takes half a minute.

use std::sync::Mutex;

use super::{Cloud, Image};
use crate::lab::lock;

/// What the shared cloud's sites begin with, and no other site has: site, image.
pub const IMAGES: [(&str, &str); 3] = [("Berlin", "cirros"), ("Paris", "debian"), ("Nantes", "alpine")];

/// How long each of these images is. Bytes.
const LENGTH: usize = 300_001;

static SHARED: Mutex<Option<Cloud>> = Mutex::new(None);

/// Runs a test on the cloud that tests share: Berlin, Paris and Nantes, with one of [`IMAGES`] at each, and services that
/// believe a token for 2 s. The first test starts it; it ends with the process. What a test changes (weather, stopped
/// programs, agents) it changes back; what it makes (servers, images) it may leave, under names of its own. After a test
/// that fails, and when something doesn't run any more, the next one gets a new cloud.
///
/// # Errors
/// The test's own; what agents and services logged is printed then.
pub fn shared(test: impl FnOnce(&mut Cloud) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut place = lock(&SHARED);
    // Taken out, so that a panic takes it down.
    let kept = place.take().and_then(|mut cloud| cloud.whole().then_some(cloud));
    let mut cloud = kept.map_or_else(start, Ok)?;
    let words = Words(&mut cloud);
    let tested = test(&mut *words.0);
    drop(words);
    if tested.is_ok() {
        *place = Some(cloud);
    } else {
        eprintln!("{}", cloud.last_words());
    }
    tested
}

fn start() -> anyhow::Result<Cloud> {
    let mut builder = Cloud::builder().every(|plan| plan.token_cache = 2);
    for (site, name) in IMAGES {
        builder = builder.image(site, Image::public(name, &format!("{site}'s {name}, "), LENGTH));
    }
    builder.start()
}

/// Prints what was logged when the test panics.
struct Words<'a>(&'a mut Cloud);

impl Drop for Words<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0.last_words());
        }
    }
}
