//! Counts what a request moved, for the namespace that pays for it.

use kheeper_model::NamespaceId;
use kheeper_s3::OperationClass;
use kheeper_store::{Store, Traffic};

/// One request's traffic; written down when it is dropped, however the request ended.
pub(crate) struct Meter {
    store: Store,
    namespace: Option<NamespaceId>,
    traffic: Traffic,
}

impl Meter {
    /// A request of this class, that nobody pays for yet.
    pub(crate) fn new(store: Store, class: OperationClass) -> Self {
        let mut traffic = Traffic::default();
        match class {
            OperationClass::Write => traffic.write_requests = 1,
            OperationClass::Read => traffic.read_requests = 1,
            OperationClass::List => traffic.list_requests = 1,
            OperationClass::Delete => traffic.delete_requests = 1,
        }
        Self { store, namespace: None, traffic }
    }

    /// Names the namespace that pays.
    pub(crate) fn charge(&mut self, namespace: &NamespaceId) {
        self.namespace = Some(namespace.clone());
    }

    /// Payload bytes that arrived.
    pub(crate) fn received(&mut self, bytes: u64) {
        self.traffic.ingress_bytes += bytes;
    }

    /// Payload bytes that were sent.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.traffic.egress_bytes += bytes;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        metrics::counter!("kheeper_ingress_bytes_total").increment(self.traffic.ingress_bytes);
        metrics::counter!("kheeper_egress_bytes_total").increment(self.traffic.egress_bytes);
        if let Some(namespace) = &self.namespace {
            self.store.record_traffic(namespace, self.traffic);
        }
    }
}
