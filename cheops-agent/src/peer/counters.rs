//! What happened on the peer links, counted. The names are labels of metrics: a closed list.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// One thing that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Count { $($(#[$doc])* $name),* }

        impl Count {
            /// Every count.
            pub const ALL: &'static [Count] = &[$(Count::$name),*];

            /// The label's value.
            pub fn as_str(self) -> &'static str {
                match self { $(Count::$name => $text),* }
            }
        }

        /// One number for each [`Count`].
        #[derive(Debug, Default)]
        pub struct Counters([AtomicU64; Count::ALL.len()]);
    };
}

counts! {
    /// Connections of peers that were let in.
    Connected "connected";
    /// TLS failed: no certificate, a wrong one, no TLS at all.
    HandshakeFailed "handshake-failed";
    /// A good certificate of another federation, or without a name of ours.
    WrongIdentity "wrong-identity";
    /// Connections that came while this host had joined no federation.
    NotJoined "not-joined";
    /// Connections of peers that were ended because their certificates are not believed any more.
    Revoked "revoked";
    /// Hosts without a certificate that were let in.
    Admitted "admitted";
    /// Hosts without a certificate that were not.
    NotAdmitted "not-admitted";
    /// More connections than the limit.
    TooManyConnections "too-many-connections";
    /// More exchanges than the limit.
    TooManyExchanges "too-many-exchanges";
    /// The peer broke the protocol of HTTP/2.
    ProtocolError "protocol-error";
    /// An envelope that is malformed, or claims what the certificate doesn't.
    BadEnvelope "bad-envelope";
    /// Exchanges that were taken on.
    Exchanges "exchanges";
    /// Connections to peers that were made.
    Dialled "dialled";
    /// Dials to peers that failed.
    DialFailed "dial-failed";
    /// Links that broke or were given up after they had worked.
    LinkLost "link-lost";
}

impl Counters {
    /// Counts one.
    pub fn add(&self, count: Count) {
        if let Some(number) = self.0.get(count as usize) {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there were.
    pub fn get(&self, count: Count) -> u64 {
        self.0.get(count as usize).map_or(0, |number| number.load(Ordering::Relaxed))
    }
}
