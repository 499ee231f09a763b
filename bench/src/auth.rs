//! What finding out who calls costs: the time that it adds to a request, what remembering a thousand hosts takes, and whether
//! those who try bad tokens slow the others down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kheeper_e2e::World;
use kheeper_e2e::token::{self, Token};
use kheeper_e2e::world::{Host, ORG, text};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::client::{Client, Credential, Target};
use crate::process_stat::resident_bytes;

/// Hosts with a live token each.
const HOSTS: usize = 1000;
/// Connections of those whose tokens are good.
const GOOD: usize = 4;
/// Connections of those whose tokens are bad. Each asks as fast as it is answered.
const BAD: usize = 16;
/// Answers without touching the store, and needs a caller who has the bucket.
const KNOWN: &str = "/myorg?location";
/// Answers without looking who calls, from the same listener.
const OPEN: &str = "/-/healthz";

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    /// Requests a second, one connection, of the route that asks for nobody; a figure for each round.
    pub(crate) open_per_sec: Vec<f64>,
    /// The same with a token that was seen before.
    pub(crate) known_per_sec: Vec<f64>,
    /// What the server held before any of [`HOSTS`] came, after each had come once, and after ten times as many tokens as it
    /// remembers.
    pub(crate) resident: [u64; 3],
    /// Tokens that had been shown by then.
    pub(crate) shown: [usize; 3],
    /// Good requests a second on [`GOOD`] connections, alone.
    pub(crate) alone_per_sec: Vec<f64>,
    /// The same beside [`BAD`] connections with bad tokens, and how many of those were refused a second.
    pub(crate) flooded_per_sec: Vec<f64>,
    pub(crate) refused_per_sec: Vec<f64>,
    /// The same beside as many connections that ask for what needs no caller: what sharing the processor costs anyhow.
    pub(crate) crowded_per_sec: Vec<f64>,
    pub(crate) open_beside_per_sec: Vec<f64>,
}

/// Who is there beside the good ones.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Alone,
    Flooded,
    Crowded,
}

impl Cost {
    fn take(
        &mut self,
        turn: Turn,
        runtime: &Runtime,
        target: &Target,
        forger: &Forger,
        budget: Duration,
    ) -> anyhow::Result<()> {
        match turn {
            Turn::Alone => self.alone_per_sec.push(runtime.block_on(rate(target, KNOWN, GOOD, budget))?),
            Turn::Flooded => {
                let (good, refused) = runtime.block_on(beside(target, forger, KNOWN, budget))?;
                self.flooded_per_sec.push(good);
                self.refused_per_sec.push(refused);
            }
            Turn::Crowded => {
                let (good, open) = runtime.block_on(beside(target, forger, OPEN, budget))?;
                self.crowded_per_sec.push(good);
                self.open_beside_per_sec.push(open);
            }
        }
        Ok(())
    }
}

/// Measures on a server of its own.
pub(crate) fn measure(runtime: &Runtime, rounds: usize, budget: Duration) -> anyhow::Result<Cost> {
    let mut world = World::start();
    let host = world.host("web-01");
    let target = Target {
        address: world.server.address(),
        prefix: String::new(),
        credential: Credential::Bearer(host.cli.token()),
    };
    let forger = Forger::new(&host);
    let mut cost = Cost::default();
    for round in 1..=rounds {
        eprintln!("auth: round {round} of {rounds}");
        cost.open_per_sec.push(runtime.block_on(rate(&target, OPEN, 1, budget))?);
        cost.known_per_sec.push(runtime.block_on(rate(&target, KNOWN, 1, budget))?);
        // In turns, and each second round the other way round, so that none of them always has the warmer machine.
        let mut turns = [Turn::Alone, Turn::Flooded, Turn::Crowded];
        if round % 2 == 0 {
            turns.reverse();
        }
        for turn in turns {
            cost.take(turn, runtime, &target, &forger, budget)?;
        }
    }
    eprintln!("auth: {HOSTS} hosts");
    let pid = world.server.running().pid();
    let hosts = hosts(&world, &forger)?;
    cost.resident[0] = resident_bytes(pid)?;
    runtime.block_on(show(&target, &forger, &hosts, 1))?;
    cost.resident[1] = resident_bytes(pid)?;
    runtime.block_on(show(&target, &forger, &hosts, 20))?;
    cost.resident[2] = resident_bytes(pid)?;
    cost.shown = [0, HOSTS, HOSTS * 21];
    Ok(cost)
}

/// Requests a second of `connections` connections, each of which asks as fast as it is answered.
async fn rate(target: &Target, path: &'static str, connections: usize, budget: Duration) -> anyhow::Result<f64> {
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let target = target.clone();
        clients.spawn(async move {
            let mut client = Client::connect(&target).await?;
            client.get(path).await?;
            let (begun, mut done) = (Instant::now(), 0_u32);
            while begun.elapsed() < budget {
                client.get(path).await?;
                done += 1;
            }
            anyhow::Ok(f64::from(done) / begun.elapsed().as_secs_f64())
        });
    }
    let mut total = 0.0;
    while let Some(client) = clients.join_next().await {
        total += client??;
    }
    Ok(total)
}

/// The good ones' requests a second beside others who ask for `path` with bad tokens, and how many of theirs were answered.
async fn beside(target: &Target, forger: &Forger, path: &'static str, budget: Duration) -> anyhow::Result<(f64, f64)> {
    let (ended, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut others = JoinSet::new();
    for number in 0..BAD {
        let (target, ended, answered) = (target.clone(), Arc::clone(&ended), Arc::clone(&answered));
        // Half are signed by nobody the server knows, half by somebody who is not the one they name.
        let tokens: Vec<String> = (0..64).map(|at| forger.bad(number * 64 + at)).collect();
        others.spawn(async move {
            let mut client = Client::connect(&target).await?;
            for bad in tokens.iter().cycle() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let status = client.status_as(path, bad).await?;
                ensure!(status.as_u16() == if path == OPEN { 200 } else { 403 }, "a bad token got {status}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    let begun = Instant::now();
    let good = rate(target, KNOWN, GOOD, budget).await;
    ended.store(true, Ordering::Relaxed);
    let secs = begun.elapsed().as_secs_f64();
    while let Some(other) = others.join_next().await {
        other??;
    }
    Ok((good?, answered.load(Ordering::Relaxed) as f64 / secs))
}

/// A thousand hosts, each with a key of its own.
fn hosts(world: &World, forger: &Forger) -> anyhow::Result<Vec<(String, String, token::KeyPair)>> {
    let owner = format!("Bearer {}", world.alice.token());
    let mut hosts = Vec::with_capacity(HOSTS);
    for number in 0..HOSTS {
        let (key, pem) = token::new_key_pair();
        let body = forger.host(&format!("bench-{number:04}"), &pem);
        let request = kheeper_e2e::Request::new("POST", "/-/api/v1/hosts").header("Authorization", &owner);
        let request = request.header("Content-Type", "application/json").body(body);
        let created = request.send(world.server.address()).expect(201).json();
        let host = &created["host"];
        hosts.push((text(&host["id"]), text(&host["keys"][0]["key_id"]), key));
    }
    Ok(hosts)
}

/// Each host shows `times` tokens, each another one.
async fn show(
    target: &Target,
    forger: &Forger,
    hosts: &[(String, String, token::KeyPair)],
    times: u64,
) -> anyhow::Result<()> {
    let mut client = Client::connect(target).await?;
    for time in 0..times {
        for (id, key_id, key) in hosts {
            let status = client.status_as(KNOWN, &forger.good(id, key_id, key, time)).await?;
            ensure!(status.is_success(), "a host's token got {status}");
        }
    }
    Ok(())
}

/// Makes tokens after the pattern of a good one.
struct Forger {
    pattern: Token,
    stranger: token::KeyPair,
}

impl Forger {
    fn new(host: &Host) -> Self {
        Self { pattern: Token::parse(&host.cli.token()), stranger: token::new_key_pair().0 }
    }

    /// A token that somebody else signed; every second one names a key that there is not.
    fn bad(&self, number: usize) -> String {
        let iat = self.pattern.claims["iat"].as_u64().unwrap_or_default();
        let token = self.pattern.clone().with_claim("iat", iat - number as u64 % 200);
        let unknown = format!("{number:043}");
        if number.is_multiple_of(2) { token } else { token.with_header("kid", unknown) }.sign(&self.stranger)
    }

    fn good(&self, id: &str, key_id: &str, key: &token::KeyPair, time: u64) -> String {
        let iat = self.pattern.claims["iat"].as_u64().unwrap_or_default();
        self.pattern.clone().with_claim("iat", iat - time).with_claim("sub", id).with_header("kid", key_id).sign(key)
    }

    /// The body that makes a host with a key.
    fn host(&self, name: &str, pem: &str) -> String {
        format!(r#"{{"org":"{ORG}","host":"{name}","public_key_pem":"{}"}}"#, pem.replace('\n', "\\n"))
    }
}

/// The median of what a round gave.
pub(crate) fn median(figures: &[f64]) -> anyhow::Result<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().context("nothing was measured")
}

/// What each round's ratio was: the median, the least and the greatest.
fn ratios(of: &[f64], to: &[f64]) -> anyhow::Result<String> {
    let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = ratios.iter().copied().fold(0.0, f64::max);
    Ok(format!("{:.2} ({least:.2}-{greatest:.2})", median(&ratios)?))
}

/// Prints it.
pub(crate) fn report(cost: &Cost) -> anyhow::Result<()> {
    let (open, known) = (median(&cost.open_per_sec)?, median(&cost.known_per_sec)?);
    let added: Vec<f64> = cost
        .open_per_sec
        .iter()
        .zip(&cost.known_per_sec)
        .map(|(open, known)| (1.0 / known - 1.0 / open) * 1e6)
        .collect();
    let least = added.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = added.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    println!("\n## What finding out who calls costs\n");
    println!("One connection, requests a second (median of {} rounds):", cost.open_per_sec.len());
    println!("- without a caller ({OPEN}): {open:.0}");
    println!("- with a token seen before ({KNOWN}), parsing and authorizing included: {known:.0}");
    println!("- difference per request: {:.1} µs ({least:.1}-{greatest:.1}; budget: 50 µs)", median(&added)?);
    println!("\nMemory of the server:");
    for (bytes, shown) in cost.resident.iter().zip(cost.shown) {
        println!("- after {shown} tokens of {HOSTS} hosts: {:.1} MiB", *bytes as f64 / f64::from(1 << 20));
    }
    println!("\nGood requests a second on {GOOD} connections, the three in turns (medians):");
    println!("- alone: {:.0}", median(&cost.alone_per_sec)?);
    println!(
        "- beside {BAD} connections that show bad tokens as fast as they are refused, {:.0} a second: {:.0}",
        median(&cost.refused_per_sec)?,
        median(&cost.flooded_per_sec)?
    );
    println!(
        "- beside {BAD} connections that ask for what needs no caller, {:.0} a second: {:.0}",
        median(&cost.open_beside_per_sec)?,
        median(&cost.crowded_per_sec)?
    );
    println!("Ratios of each round, median (least-greatest):");
    println!("- flooded to alone: {} (budget: 0.80)", ratios(&cost.flooded_per_sec, &cost.alone_per_sec)?);
    println!("- flooded to crowded: {}", ratios(&cost.flooded_per_sec, &cost.crowded_per_sec)?);
    Ok(())
}
