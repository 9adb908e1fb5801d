//! How many bytes go over the wire, with the headers of IP, UDP and TCP; below IP nothing is counted.

use http::HeaderMap;

/// IPv4 and UDP.
pub const UDP: u64 = 20 + 8;
/// IPv4 and TCP with timestamps: also a whole acknowledgement.
pub const TCP: u64 = 20 + 32;
/// A SYN, with its options.
pub const SYN: u64 = 20 + 40;
/// What TLS 1.3 puts around a record: head, type, tag.
const TLS: u64 = 5 + 1 + 16;
/// The head of a frame of HTTP/2.
const FRAME: u64 = 9;
/// Bytes of a segment, of a record.
const SEGMENT: u64 = 1448;
const RECORD: u64 = 16 * 1024;
/// PING, or its answer.
pub const PING: u64 = TCP + TLS + FRAME + 8;
/// A handshake of TCP and TLS 1.3 with certificates on both sides, and the SETTINGS of HTTP/2: what each end sends.
/// Certificates of P-256 keys with their names have some 600 bytes, chains of them one.
pub const HANDSHAKE: u64 = SYN + 3 * TCP + 1300;

/// What carries this much of HTTP/2.
fn carried(bytes: u64) -> u64 {
    let whole = bytes + bytes.div_ceil(RECORD) * TLS;
    whole + whole.div_ceil(SEGMENT) * TCP
}

/// A request without body. HPACK has an index for each name and for the four fields that every request has; values are
/// taken as they are, though a part of them would be shorter by its code.
pub fn request(headers: &HeaderMap) -> u64 {
    let fields: u64 = headers.values().map(|value| 2 + value.len() as u64).sum();
    carried(FRAME + 4 + fields)
}

/// An answer with a body.
pub fn answer(body: usize) -> u64 {
    carried(FRAME + 1 + FRAME + body as u64)
}

/// What an agent sends, by what it is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic(pub [u64; 7]);

/// The names of the parts.
pub const PARTS: [&str; 7] = ["datagrams", "pings", "asks", "hellos", "tables", "words", "handshakes"];
pub const DATAGRAMS: usize = 0;
pub const PINGS: usize = 1;
pub const ASKS: usize = 2;
pub const HELLOS: usize = 3;
pub const TABLES: usize = 4;
pub const WORDS: usize = 5;
pub const HANDSHAKES: usize = 6;

impl Traffic {
    pub fn add(&mut self, part: usize, bytes: u64) {
        self.0[part] += bytes;
    }

    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What came since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|part| self.0[part] - before.0[part]))
    }

    /// An answer, by what stands in it.
    pub fn add_answer(&mut self, body: &[u8], times: u64) {
        let find = |text: &str| body.windows(text.len()).position(|window| window == text.as_bytes());
        let between = |from: &str, to: &str| match (find(from), find(to)) {
            (Some(from), Some(to)) if to > from => (to - from) as u64,
            _ => 0,
        };
        let (table, words) = (between("\"table\":", "\"standing\":"), between("\"words\":", "\"next\":"));
        self.add(TABLES, table * times);
        self.add(WORDS, words * times);
        self.add(HELLOS, (answer(body.len()) - table - words) * times);
    }
}
