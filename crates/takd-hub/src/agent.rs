//! How the hub is spoken to.

use crate::Hub;
use std::time::Duration;
use ureq::{
    Agent,
    tls::{RootCerts, TlsConfig},
};

/// How long the hub may take to be reached.
const CONNECT: Duration = Duration::from_secs(10);

/// How often a transfer is begun.
pub(crate) const TRIES: u32 = 3;

/// Why a transfer ended early.
pub(crate) enum TransferError {
    /// It may go better the next time.
    Temporary(String),
    /// It will not.
    Permanent(String),
}

impl Hub {
    /// A request that came to no answer.
    pub(crate) fn failed(&self, error: &ureq::Error) -> TransferError {
        TransferError::Temporary(self.without_credentials(&error.to_string()))
    }
}

/// What makes the requests.
pub(crate) fn agent(hub: &Hub) -> Agent {
    // The system's roots, among them those of a company's proxy.
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .user_agent(format!("takd/{}", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(hub.patience))
        .timeout_per_read(Some(hub.patience))
        .timeout_per_write(Some(hub.patience))
        .http_status_as_error(false)
        .max_redirects_will_error(false)
        .build();
    config.into()
}

/// How long is waited before a transfer is begun once more.
pub(crate) fn pause_before(attempt: u32) {
    std::thread::sleep(Duration::from_millis(300) * attempt);
}
