//! Everything below the federation's prefix, in pages at one revision.

use std::time::Duration;

use etcd_client::{Client, GetOptions, GetResponse, KeyValue, KvClient};
use tokio::time::timeout;

use super::trouble::{Kind, Trouble};
use crate::metadata::bounds::{self, Excess};
use crate::metadata::store::{Listed, Seen};

/// Records of a page, at most.
const PAGE: i64 = 256;
/// Bytes of a message that are read.
pub const MESSAGE: usize = 16 << 20;
/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Lists.
///
/// # Errors
/// When the cluster can't be asked, or forgets while it is asked.
pub async fn list(client: &Client, prefix: &str) -> Result<Listed, Trouble> {
    let mut kv = client.kv_client().max_decoding_message_size(MESSAGE);
    let mut listed = Listed::default();
    let (mut from, end) = (prefix.as_bytes().to_vec(), end_of(prefix));
    let (mut limit, mut bytes) = (PAGE, 0);
    loop {
        let revision = listed.seen.map_or(0, |seen| seen.revision);
        let options = GetOptions::new().with_range(end.clone()).with_limit(limit).with_revision(revision);
        let mut alone = None;
        let page = match get(&mut kv, &from, options.clone()).await {
            Err(Trouble { kind: Kind::TooLarge, .. }) if limit > 1 => {
                limit /= 2;
                continue;
            }
            // One that is too large alone: its key is known, and what is there is refused.
            Err(Trouble { kind: Kind::TooLarge, .. }) => {
                alone = Some(Excess::Record);
                get(&mut kv, &from, options.with_keys_only()).await?
            }
            page => page?,
        };
        check(&page, &mut listed)?;
        let Some(last) = page.kvs().last() else { return Ok(listed) };
        from = [last.key(), b"\0"].concat();
        for kv in page.kvs() {
            let (full, value, revision) = told(kv);
            match alone.map_or_else(|| bounds::fits(&full, &value), Err) {
                Ok(()) => {
                    bytes += full.len() + value.len();
                    listed.values.push((full, value, revision));
                }
                Err(excess) => listed.left_out.push((bounds::shown(&full), excess)),
            }
        }
        if !page.more() {
            return Ok(listed);
        }
        if bounds::exceeds(listed.values.len() + listed.left_out.len(), bytes) {
            listed.more = true;
            return Ok(listed);
        }
    }
}

async fn get(kv: &mut KvClient, from: &[u8], options: GetOptions) -> Result<GetResponse, Trouble> {
    let got = timeout(PATIENCE, kv.get(from, Some(options))).await;
    Ok(got.map_err(|_| Trouble::silence(PATIENCE))??)
}

/// All pages are of one cluster, at the first one's revision.
fn check(page: &GetResponse, listed: &mut Listed) -> Result<(), Trouble> {
    let header = page.header().ok_or_else(|| Trouble::new(Kind::Unknown, "an answer without a header"))?;
    let seen = *listed.seen.get_or_insert(Seen { cluster: header.cluster_id(), revision: header.revision() });
    if seen.cluster != header.cluster_id() {
        return Err(Trouble::new(Kind::Unknown, "the cluster became another while it was listed"));
    }
    Ok(())
}

/// Key, value and revision. What is no text becomes one that nobody understands.
pub fn told(kv: &KeyValue) -> (String, String, i64) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(kv.key()), text(kv.value()), kv.mod_revision())
}

/// The first key behind all that begin with `prefix`, which ends with a slash.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
