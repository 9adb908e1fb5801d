//! Why somebody can't come in, or leave; each says what to do.

use std::path::PathBuf;

use crate::metadata::truth::TruthError;
use crate::names::SiteName;
use crate::peer::TrustError;

use super::token::TokenError;

/// What kind of failure it is, for exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was asked makes no sense.
    Usage,
    /// There is no such thing.
    NotFound,
    /// It contradicts what is.
    Conflict,
    /// The federation, or this agent, doesn't allow it.
    Refused,
    /// Others, or the cluster, can't be reached.
    Unavailable,
    /// This host can't.
    Internal,
}

#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    #[error(
        "this host's certificates are named in its configuration file, so its file says to whom it belongs; take ca, cert \
         and key (and insecure) out of [peer] for a host that joins by command"
    )]
    ByFile,
    #[error("this host has joined no federation: cheops site join, or cheops site init for the first")]
    NotJoined,
    #[error(
        "this host belongs to the federation {federation} already, so there is nothing to do; to join anew, or another \
         federation, cheops site leave comes first"
    )]
    Already { federation: String },
    #[error(
        "the federation {federation} exists already: ask for a token there (cheops token issue {site}) and run: cheops \
         site join TOKEN"
    )]
    Exists { federation: String, site: SiteName },
    #[error(
        "this agent's file says federation = \"{configured}\", and {asked} is asked for: write federation = \"{asked}\" \
         and restart the agent"
    )]
    Federation { configured: String, asked: String },
    #[error("this host doesn't sign for the federation; these do: {0}")]
    NoSigner(String),
    #[error("\"{name}\" can't be a {what}'s name: {why}")]
    Name { what: &'static str, name: String, why: String },
    #[error("a token is good for ten seconds at least, and for 30 days at most")]
    Expiry,
    #[error(
        "{site} has a host that lives already ({hosts}): for one more host of it say which: cheops token issue {site} \
         --host NAME"
    )]
    Taken { site: SiteName, hosts: String },
    #[error("there is no token {0}: it was used or revoked, or has expired")]
    NoToken(String),
    #[error("the token can't be read: {0}")]
    Token(#[from] TokenError),
    #[error(
        "the token is for {wanted}, and this host is {own}: ask for one for it, or correct \"site\" and \"host\" in its file"
    )]
    NotOurs { wanted: String, own: String },
    #[error("the token is of no use: {0}")]
    Refused(String),
    #[error("no agent that the token names lets this host in: {0}")]
    Unreachable(String),
    #[error("what was answered can't be used: {0}")]
    Answer(String),
    #[error(
        "this host is the only one that signs: no host could join any more, and no certificate be renewed; let another join with a token issued with --signs, or leave with --force"
    )]
    OnlySigner,
    #[error("there is no site {0}")]
    NoSite(SiteName),
    #[error("{0} is this host's own site: cheops site leave takes this host away")]
    OwnSite(SiteName),
    #[error("{site} lives ({hosts}): run cheops site leave there; a site that lives can't be removed")]
    Lives { site: SiteName, hosts: String },
    #[error(
        "this removes {0} and revokes its certificates, and it has to join again with a new token; if that is meant, say --force"
    )]
    Force(SiteName),
    #[error("others changed it meanwhile; nothing was done; do it again")]
    Meanwhile,
    #[error(transparent)]
    Truth(#[from] TruthError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("can't write in {path}: {source}")]
    Disk { path: PathBuf, source: std::io::Error },
    #[error("the certificates are there, and can't be taken up: {0}")]
    Renew(String),
    #[error("{0} is not readable")]
    Malformed(&'static str),
}

impl MembershipError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Name { .. } | Self::Expiry | Self::Token(_) | Self::Force(_) => Kind::Usage,
            Self::NoToken(_) | Self::NoSite(_) => Kind::NotFound,
            Self::Refused(_) | Self::OnlySigner | Self::Lives { .. } | Self::NoSigner(_) => Kind::Refused,
            Self::Unreachable(_) => Kind::Unavailable,
            Self::Truth(error) => match error {
                TruthError::Embedded => Kind::Conflict,
                TruthError::Seal(_) => Kind::Refused,
                _ => Kind::Unavailable,
            },
            Self::Trust(_) | Self::Disk { .. } | Self::Renew(_) | Self::Malformed(_) | Self::Answer(_) => {
                Kind::Internal
            }
            _ => Kind::Conflict,
        }
    }
}
