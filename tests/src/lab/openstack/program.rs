//! Programs of a site, and what they know each other by.

use std::collections::BTreeMap;

use super::ask::Api;

/// A program of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    Keystone,
    Glance,
    Placement,
    Neutron,
    /// All of Nova's services, on [`Bus::Fake`].
    Nova,
    Rabbit,
    NovaApi,
    NovaConductor,
    NovaScheduler,
    NovaCompute,
    /// The compute service of the second host.
    SecondCompute,
}

impl Program {
    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keystone => "keystone",
            Self::Glance => "glance-api",
            Self::Placement => "placement",
            Self::Neutron => "neutron",
            Self::Nova => "nova-all",
            Self::Rabbit => "rabbitmq",
            Self::NovaApi => "nova-api",
            Self::NovaConductor => "nova-conductor",
            Self::NovaScheduler => "nova-scheduler",
            Self::NovaCompute => "nova-compute",
            Self::SecondCompute => "second-compute",
        }
    }

    /// What it serves.
    pub(super) fn api(self) -> Option<Api> {
        match self {
            Self::Keystone => Some(Api::Keystone),
            Self::Glance => Some(Api::Glance),
            Self::Placement => Some(Api::Placement),
            Self::Neutron => Some(Api::Neutron),
            Self::Nova | Self::NovaApi => Some(Api::Nova),
            _ => None,
        }
    }
}

/// Passwords of the site's users and of its broker, its own.
#[derive(Debug)]
pub struct Passwords(BTreeMap<&'static str, String>);

impl Passwords {
    pub(super) fn new() -> Self {
        const USERS: [&str; 7] = ["admin", "demo", "other", "glance", "nova", "placement", "rabbit"];
        Self(USERS.into_iter().map(|user| (user, format!("{:032x}", rand::random::<u128>()))).collect())
    }

    /// A user's.
    pub fn of(&self, user: &str) -> &str {
        self.0.get(user).map_or("", String::as_str)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(user, password)| (*user, password.as_str()))
    }
}
