//! How it stands with SPIRE: what a person who looks after the gateway needs to know.

use std::time::Duration;

use jiff::Timestamp;
use spiffe::{WorkloadApiClient, WorkloadApiError, transport::Endpoint};
use tokio::net::{TcpStream, UnixStream};

use super::{PeerSvid, Svids, not_after};

/// How long the Workload API may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How it stands with SPIRE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpireState {
    /// Our own id, when we have an SVID that holds.
    pub id: Option<String>,
    /// Until when it holds.
    pub expires_at: Option<Timestamp>,
    /// The trust domains whose SVIDs are accepted: ours first.
    pub accepts: Vec<String>,
    /// What is wrong.
    pub trouble: Option<Trouble>,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing answers where the Workload API should be.
    Absent {
        /// Where.
        endpoint: String,
        /// What the system says.
        reason: String,
    },
    /// It answers that it has no identity for this process.
    NoEntry {
        /// Where it answers.
        endpoint: String,
    },
    /// Its answer is of no use, or not there yet.
    Other(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent { endpoint, reason } => write!(f, "no Workload API answers at {endpoint}: {reason}"),
            Self::NoEntry { endpoint } => {
                write!(f, "the Workload API at {endpoint} has no identity for this process")
            }
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl Svids {
    /// How it stands now, for whoever may know. Without an SVID it asks the Workload API why, for two seconds at most.
    /// `None` when SVIDs are not in use.
    pub async fn state(&self) -> Option<SpireState> {
        self.looked_at(true).await
    }

    /// The same for whoever asks, however often: it only looks whether the Workload API is there.
    pub async fn glance(&self) -> Option<SpireState> {
        self.looked_at(false).await
    }

    async fn looked_at(&self, ask_why: bool) -> Option<SpireState> {
        if !self.in_use() {
            return None;
        }
        let svid = self.sources.read().as_ref().and_then(|s| s.x509.svid().ok());
        let trouble = match &self.config.endpoint {
            None => None,
            Some(endpoint) => self.trouble(endpoint, svid.is_some(), ask_why).await,
        };
        let accepts =
            self.trust_domain().into_iter().chain(self.config.foreign.iter().map(|f| f.trust_domain.clone()));
        // What the Workload API gives goes first.
        let leaf = svid.as_ref().map(|svid| svid.leaf().as_bytes().to_vec());
        let leaf = leaf.or_else(|| self.own.read().as_ref().map(|own| own.leaf.to_vec()));
        let ours = leaf.as_deref().and_then(PeerSvid::of);
        Some(SpireState {
            expires_at: leaf.as_deref().and_then(not_after),
            id: ours.map(|svid| svid.spiffe_id.to_string()),
            accepts: accepts.map(|domain| domain.to_string()).collect(),
            trouble,
        })
    }

    async fn trouble(&self, endpoint: &str, have_svid: bool, ask_why: bool) -> Option<Trouble> {
        let absent = |reason: String| Some(Trouble::Absent { endpoint: endpoint.to_owned(), reason });
        let late = || format!("no answer within {} s", ANSWERS_WITHIN.as_secs());
        let connect = async {
            match Endpoint::parse(endpoint).map_err(|e| e.to_string())? {
                Endpoint::Unix(path) => UnixStream::connect(path).await.map(drop).map_err(|e| e.to_string()),
                Endpoint::Tcp { host, port } => {
                    TcpStream::connect((host, port)).await.map(drop).map_err(|e| e.to_string())
                }
                other => Err(format!("{other:?} is not known here")),
            }
        };
        match tokio::time::timeout(ANSWERS_WITHIN, connect).await {
            Err(_) => return absent(late()),
            Ok(Err(reason)) => return absent(reason),
            Ok(Ok(())) if have_svid => return None,
            Ok(Ok(())) if !ask_why => {
                return Some(Trouble::Other("no SVID from the Workload API".to_owned()));
            }
            Ok(Ok(())) => {}
        }
        let fetch = async { WorkloadApiClient::connect_to(endpoint).await?.fetch_x509_svid().await };
        match tokio::time::timeout(ANSWERS_WITHIN, fetch).await {
            Err(_) => absent(late()),
            Ok(Err(WorkloadApiError::NoIdentityIssued | WorkloadApiError::PermissionDenied(_))) => {
                Some(Trouble::NoEntry { endpoint: endpoint.to_owned() })
            }
            Ok(Err(error)) => Some(Trouble::Other(error.to_string())),
            // It has one by now, or what it gives was refused.
            Ok(Ok(_)) => {
                let refused = self.refused.read().clone();
                Some(Trouble::Other(refused.unwrap_or_else(|| "connecting to the Workload API".to_owned())))
            }
        }
    }
}
