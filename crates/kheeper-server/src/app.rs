//! What every request needs: the store, who may call, what the operator configured.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use kheeper_identity::Pin;
use kheeper_identity::origin::Origin;
use kheeper_model::Clock;
use kheeper_store::{Store, StoreError};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::bounds::Bounds;
use crate::config::Network;
use crate::connections::Connections;
use crate::prices::PriceList;
use crate::request::audit_trail::AuditTrail;
use crate::request::authenticate::TokenCache;
use crate::request::places::Places;
use crate::request::refusal_turns::RefusalTurns;
use crate::request::revocation::Revocation;

/// The running server, shared by all requests.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    /// The origins that tokens may name; the first is the one that join tokens carry.
    pub(crate) origins: Vec<Origin>,
    pub(crate) ca_pin: Option<Pin>,
    pub(crate) prices: Option<PriceList>,
    pub(crate) tokens: TokenCache,
    pub(crate) refusals: RefusalTurns,
    pub(crate) revocation: Revocation,
    pub(crate) audit: AuditTrail,
    pub(crate) places: Places,
    pub(crate) connections: Connections,
    /// Bytes a second that a body must bring, at the least.
    pub(crate) body_rate_min: u64,
    pub(crate) metrics: PrometheusHandle,
    behind: Vec<Network>,
}

/// What [`App::new`] is made of.
pub(crate) struct AppParts {
    pub(crate) store: Store,
    pub(crate) origins: Vec<Origin>,
    pub(crate) ca_pin: Option<Pin>,
    pub(crate) prices: Option<PriceList>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Networks whose proxies end TLS in front of the server; only these may connect, where there are any.
    pub(crate) behind: Vec<Network>,
    pub(crate) bounds: Bounds,
}

impl App {
    /// Reads the revocation epoch and starts watching it.
    pub(crate) async fn new(parts: AppParts) -> anyhow::Result<Arc<Self>> {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        // A second server in one process (tests) keeps the first one's recorder, and its own page stays empty.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::debug!("metrics are recorded by another server of this process");
        }
        let revocation = Revocation::start(parts.store.clone()).await?;
        Ok(Arc::new(Self {
            audit: AuditTrail::start(parts.store.clone()),
            store: parts.store,
            clock: parts.clock,
            origins: parts.origins,
            ca_pin: parts.ca_pin,
            prices: parts.prices,
            tokens: TokenCache::default(),
            refusals: RefusalTurns::new(),
            revocation,
            places: Places::new(parts.bounds.places),
            connections: Connections::new(parts.bounds.connections),
            body_rate_min: parts.bounds.body_rate_min,
            metrics,
            behind: parts.behind,
        }))
    }

    /// The origin that join tokens carry.
    pub(crate) fn origin(&self) -> &Origin {
        self.origins.first().expect("a server on loopback has its own origin, and any other was given one")
    }

    /// Whether `address` may talk to the server at all.
    pub(crate) fn admits_address(&self, address: IpAddr) -> bool {
        self.behind.is_empty() || address.is_loopback() || self.behind.iter().any(|network| network.contains(address))
    }

    /// Where a request comes from: the peer, or what a proxy that ends TLS in front of the server says last.
    pub(crate) fn address_of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let forwarded = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
        let last = forwarded.and_then(|value| value.rsplit(',').next()).and_then(|last| last.trim().parse().ok());
        let believed = self.behind.iter().any(|network| network.contains(peer));
        last.filter(|_| believed).unwrap_or(peer).to_canonical()
    }

    /// Ready is: the index answers, its revocations are fresh, and nothing has made it stop taking writes.
    pub(crate) async fn readiness(&self) -> Result<(), String> {
        self.revocation.fresh().map_err(|_| "revocations have not been read for 4 s".to_owned())?;
        let health = tokio::time::timeout(Duration::from_secs(5), self.store.health())
            .await
            .map_err(|_| "the index does not answer".to_owned())?;
        if let Some(since) = health.quarantined_since {
            return Err(StoreError::Quarantined(since).to_string());
        }
        match health.refuses_writes {
            Some(why) => Err(why),
            None if !health.index_reads => Err("the index does not answer".to_owned()),
            None if !health.is_ready() => Err("the disk is full".to_owned()),
            None => Ok(()),
        }
    }

    /// Brings the metrics of what the store does by itself up to date.
    pub(crate) async fn note_upkeep(&self) {
        if let Ok(quarantined) = self.store.quarantined_since().await {
            metrics::gauge!("kheeper_quarantined").set(f64::from(u8::from(quarantined.is_some())));
        }
        metrics::gauge!("kheeper_sweep_refused").set(f64::from(u8::from(self.store.sweep_refusal().is_some())));
        let Ok(scrub) = self.store.scrub_status().await else { return };
        metrics::counter!("kheeper_scrub_verified_bytes_total").absolute(scrub.verified_bytes_total);
        metrics::gauge!("kheeper_scrub_damaged_objects").set(scrub.damaged_objects() as f64);
        metrics::gauge!("kheeper_scrub_round_verified_bytes")
            .set(scrub.round.as_ref().map_or(0, |round| round.verified_bytes) as f64);
        metrics::gauge!("kheeper_stored_bytes").set(scrub.stored_bytes as f64);
        if let Some(completed_at) = scrub.last.and_then(|last| last.completed_at) {
            metrics::gauge!("kheeper_scrub_last_complete_timestamp_seconds").set(completed_at.as_secs() as f64);
        }
    }
}
