//! What must hold for any bytes from outside. Each target is a function of bytes that panics when it doesn't hold:
//! libFuzzer runs it on bytes that it makes up (`cargo xtask fuzz`), the suite `corpus` on the seeds in `corpus/`.

#![forbid(unsafe_code)]

pub mod answer;
pub mod body;
pub mod carriers;
pub mod envelope;
pub mod framing;
pub mod head;
pub mod hypers;
pub mod peer;
mod pieces;
pub mod profile;
pub mod scope;

use bytes::Bytes;
use cheops_agent::http::RequestHead;
use cheops_agent::http::framing::HeadEnd;

/// A target by the name of its seeds' folder.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("answer", answer::answer),
    ("body", body::body),
    ("carriers", carriers::carriers),
    ("envelope", envelope::envelope),
    ("framing", framing::framing),
    ("head", head::head),
    ("peer", peer::peer),
    ("profile", profile::profile),
    ("scope", scope::scope),
];

/// Bytes of a head that are read here.
const HEAD_BYTES: usize = 16 * 1024;
/// Fields of a head that are read here: more than the usual 64, which have a way of their own.
const FIELDS: usize = 100;

/// The request head at the begin of `data`, if there is a well-formed one.
fn request(data: &[u8]) -> Option<RequestHead> {
    let end = HeadEnd::default().find(data, HEAD_BYTES).ok()??;
    RequestHead::parse(Bytes::copy_from_slice(&data[..end]), FIELDS).ok()
}
