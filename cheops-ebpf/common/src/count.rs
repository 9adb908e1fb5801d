//! What the programs count: an index into COUNTERS, with the names that metrics and `status` show.

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident = $hook:literal $what:literal,)*) => {
        /// A counter, by hook, outcome and reason.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count { $($(#[$doc])* $name),* }

        impl Count {
            /// Every counter, in the order of its index.
            pub const ALL: &'static [Count] = &[$(Count::$name),*];

            /// The hook that counts it.
            pub const fn hook(self) -> &'static str {
                match self { $(Self::$name => $hook),* }
            }

            /// Outcome and reason: stable, kebab-case.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what),* }
            }
        }
    };
}

counts! {
    /// A connection that arrived was given to the agent.
    ArriveTaken = "arrive" "taken",
    /// The lease was stale or nobody listened: it went on to the service.
    ArriveStalePassed = "arrive" "stale-passed",
    /// The lease was stale or nobody listened: it was refused, as the service's configuration says.
    ArriveStaleRefused = "arrive" "stale-refused",
    /// A connection that `leave` had rewritten was given to the agent.
    SteerTaken = "steer" "taken",
    /// A connection to `127.64.0.0/10` found no agent.
    SteerRefused = "steer" "no-listener-refused",
    /// A connection that was being opened was sent to the agent.
    LeaveTaken = "leave" "taken",
    /// The same, to a native IPv6 address.
    LeaveTakenV6 = "leave" "taken-v6",
    /// One to an address that isn't guarded was let be.
    LeaveUnguarded = "leave" "unguarded",
    /// One of the agent's own was let be.
    LeaveExempt = "leave" "exempt",
    /// A process named an address in `127.64.0.0/10` itself.
    LeaveNamed = "leave" "named-refused",
    LeaveStalePassed = "leave" "stale-passed",
    LeaveStaleRefused = "leave" "stale-refused",
    /// The lease was stale, and the process belongs to an `exec` session, which is never served without its scope.
    LeaveSessionRefused = "leave" "stale-session-refused",
    /// The socket was bound to a device and was unbound.
    LeaveUnbound = "leave" "device-unbound",
    /// The socket was bound to a device and could not be unbound: let be.
    LeaveBoundPassed = "leave" "device-passed",
    /// The same in an `exec` session: refused.
    LeaveBoundRefused = "leave" "device-refused",
    /// PENDING had no room for an IPv6 connection.
    LeaveFull = "leave" "pending-full-refused",
    /// PENDING had no room for a client's address: the agent's own connection was refused.
    AnnounceFull = "announce" "pending-full-refused",
    /// A service was told its client.
    AnnounceTold = "announce" "told",
    /// The agent's IPv6 listener got a connection's original destination.
    AcceptTold = "accept" "told-v6",
    /// The kernel had no memory for an entry of PENDING or NOTES.
    NoMemory = "sockops" "no-memory",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_follow_the_list_and_names_are_unique() {
        for (index, count) in Count::ALL.iter().enumerate() {
            assert_eq!(*count as usize, index);
            for other in &Count::ALL[..index] {
                assert!((count.hook(), count.what()) != (other.hook(), other.what()));
            }
        }
    }
}
