//! A number of clients at once, for a time or a count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::case::{Case, Verb};
use crate::client::{Client, Target};

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Budget {
    /// No request begins after this long; every client makes one at least.
    Time(Duration),
    /// So many requests by each client.
    Each(usize),
}

impl Budget {
    fn allows(self, done: usize, begun: Instant) -> bool {
        match self {
            Self::Time(time) => done == 0 || begun.elapsed() < time,
            Self::Each(count) => done < count,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Done {
    /// From the first request's begin to the last one's end.
    pub(crate) wall: Duration,
    /// Of each request, in ascending order.
    pub(crate) latencies: Vec<Duration>,
    /// What was asked for, in no order.
    pub(crate) keys: Vec<String>,
}

/// PUTs new keys, each beginning with `name`.
pub(crate) async fn put(target: &Target, case: Case, name: &str, budget: Budget) -> anyhow::Result<Done> {
    let name = name.to_owned();
    run(target, case, Verb::Put, budget, move |client, number| format!("{name}/{client:02}/{number:06}")).await
}

/// GETs `keys` in turn, over and over.
pub(crate) async fn get(target: &Target, case: Case, keys: Vec<String>, budget: Budget) -> anyhow::Result<Done> {
    let parallel = case.parallel;
    run(target, case, Verb::Get, budget, move |client, number| keys[(client + number * parallel) % keys.len()].clone())
        .await
}

/// DELETEs `keys`, which are a multiple of the clients.
pub(crate) async fn delete(target: &Target, case: Case, keys: Vec<String>) -> anyhow::Result<Done> {
    let parallel = case.parallel;
    let budget = Budget::Each(keys.len() / parallel);
    run(target, case, Verb::Delete, budget, move |client, number| keys[client + number * parallel].clone()).await
}

async fn run(
    target: &Target,
    case: Case,
    verb: Verb,
    budget: Budget,
    key: impl Fn(usize, usize) -> String + Send + Sync + 'static,
) -> anyhow::Result<Done> {
    let key = Arc::new(key);
    let start = Arc::new(Barrier::new(case.parallel));
    let mut clients = JoinSet::new();
    for index in 0..case.parallel {
        let (target, key, start) = (target.clone(), Arc::clone(&key), Arc::clone(&start));
        clients.spawn(async move {
            // What only the first request of a connection costs is not what is measured.
            let mut client = Client::connect(&target).await?;
            client.run(Verb::Put, &format!("warm/{index:02}"), 1).await?;
            start.wait().await;
            let begun = Instant::now();
            let mut latencies = Vec::new();
            let mut keys = Vec::new();
            while budget.allows(latencies.len(), begun) {
                let key = key(index, latencies.len());
                latencies.push(client.run(verb, &key, case.bytes).await?);
                keys.push(key);
            }
            anyhow::Ok((begun, Instant::now(), latencies, keys))
        });
    }

    // One failed client ends the run; dropping the set ends the others.
    let mut done = Done { wall: Duration::ZERO, latencies: Vec::new(), keys: Vec::new() };
    let mut span: Option<(Instant, Instant)> = None;
    while let Some(client) = clients.join_next().await {
        let (begun, ended, latencies, keys) = client??;
        span = Some(span.map_or((begun, ended), |(first, last)| (first.min(begun), last.max(ended))));
        done.latencies.extend(latencies);
        done.keys.extend(keys);
    }
    done.wall = span.map_or(Duration::ZERO, |(first, last)| last - first);
    done.latencies.sort_unstable();
    Ok(done)
}
