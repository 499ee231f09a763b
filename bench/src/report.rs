//! The tables, in Markdown, so that a run can be pasted as it is.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

use crate::case::{Case, MIB, Verb};
use crate::clients::{Load, Pair};
use crate::memory::Held;
use crate::raw_disk::DiskRates;
use crate::rounds::{Measured, Sample};
use crate::sides::SideName;
use crate::syncs::SyncCount;
use crate::verify;
use crate::walg::{Push, Pushed};

const SIDES: [SideName; 3] = [SideName::Direct, SideName::Proxy, SideName::Peer];
const VERBS: [Verb; 2] = [Verb::Put, Verb::Get];
const GIB: f64 = 1024.0 * MIB as f64;

/// Smallest, middle and largest of some figures.
#[derive(Debug, Clone, Copy)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        Some(Self { min, median: figures[figures.len() / 2], max })
    }

    fn shown(this: Option<Self>, decimals: usize) -> String {
        this.map_or_else(
            || "-".to_owned(),
            |Self { min, median, max }| format!("{median:.decimals$} ({min:.decimals$}-{max:.decimals$})"),
        )
    }
}

/// What each side moved, and the ratios of the sides within the same round.
pub(crate) fn throughput(cases: &[Case], measured: &Measured) {
    let mut table = table(&["", "direct", "proxy", "peer", "unit", "proxy/direct", "proxy/peer"]);
    for &case in cases {
        for verb in VERBS {
            let figures = |side| measured.of(case, verb, side).iter().map(move |sample| rate(case, sample));
            let decimals = 0;
            let mut row = vec![format!("{verb} {case}")];
            row.extend(SIDES.map(|side| Spread::shown(Spread::of(figures(side)), decimals)));
            row.push(if case.is_small() { "op/s" } else { "MiB/s" }.to_owned());
            for other in [SideName::Direct, SideName::Peer] {
                let ratios = figures(SideName::Proxy).zip(figures(other)).map(|(own, other)| own / other);
                row.push(Spread::shown(Spread::of(ratios), 2));
            }
            table.add_row(row);
        }
    }
    print("Throughput: median (min-max) of the rounds; ratios are taken within each round", &table);
}

/// How long one request of one client takes, and what of it the proxy adds.
pub(crate) fn latency(cases: &[Case], measured: &Measured) {
    let mut table =
        table(&["ms", "direct", "proxy", "peer", "direct p99", "proxy p99", "peer p99", "proxy adds", "in %"]);
    for &case in cases.iter().filter(|case| case.parallel == 1) {
        for verb in VERBS {
            let medians = |side| measured.of(case, verb, side).iter().map(|sample| millis(sample.median));
            let tails = |side| measured.of(case, verb, side).iter().map(|sample| millis(sample.p99));
            let middle =
                |figures: Option<Spread>| figures.map_or("-".to_owned(), |spread| format!("{:.2}", spread.median));
            let pairs = || medians(SideName::Proxy).zip(medians(SideName::Direct));
            let mut row = vec![format!("{verb} {case}")];
            row.extend(SIDES.map(|side| middle(Spread::of(medians(side)))));
            row.extend(SIDES.map(|side| middle(Spread::of(tails(side)))));
            row.push(Spread::shown(Spread::of(pairs().map(|(proxy, direct)| proxy - direct)), 2));
            row.push(Spread::shown(Spread::of(pairs().map(|(proxy, direct)| (proxy / direct - 1.0) * 100.0)), 0));
            table.add_row(row);
        }
    }
    print("Latency of the median request (and of the 99th in a hundred), one client", &table);
}

/// Processor time per GiB, or per thousand requests where requests are what counts.
pub(crate) fn cpu(cases: &[Case], measured: &Measured) {
    let mut table =
        table(&["", "direct: server", "server", "proxy", "server + proxy", "peer", "kheeper/peer", "client", "unit"]);
    for &case in cases {
        for verb in VERBS {
            let scale = move |sample: &Sample| {
                let units = sample.count as f64 * if case.is_small() { 1e-3 } else { case.bytes as f64 / GIB };
                1.0 / units
            };
            let program = |side, index: usize| {
                let samples = measured.of(case, verb, side).iter();
                Spread::of(samples.filter_map(move |sample| Some(sample.cpu.get(index)?.1 * scale(sample))))
            };
            let total = |side| {
                measured
                    .of(case, verb, side)
                    .iter()
                    .map(move |sample| sample.cpu.iter().map(|(_, secs)| secs).sum::<f64>() * scale(sample))
            };
            let ratios = total(SideName::Proxy).zip(total(SideName::Peer)).map(|(own, other)| own / other);
            let client =
                measured.of(case, verb, SideName::Proxy).iter().map(|sample| sample.client_cpu * scale(sample));
            let short =
                |figure: Option<Spread>| figure.map_or("-".to_owned(), |spread| format!("{:.2}", spread.median));
            table.add_row(vec![
                format!("{verb} {case}"),
                short(program(SideName::Direct, 0)),
                short(program(SideName::Proxy, 0)),
                short(program(SideName::Proxy, 1)),
                Spread::shown(Spread::of(total(SideName::Proxy)), 2),
                Spread::shown(Spread::of(total(SideName::Peer)), 2),
                Spread::shown(Spread::of(ratios), 2),
                short(Spread::of(client)),
                if case.is_small() { "s/1000 op" } else { "s/GiB" }.to_owned(),
            ]);
        }
    }
    print("Processor time, user and kernel", &table);
}

/// What the disk itself can keep.
pub(crate) fn raw_disk(rates: &[DiskRates]) {
    let of = |figure: fn(&DiskRates) -> f64| Spread::shown(Spread::of(rates.iter().map(figure)), 0);
    println!(
        "\nThe disk itself, one writer: {} appends of 4 KiB to one file a second, each synced; {} new files of 1 MiB a second, \
         each synced with its directory.",
        of(|rates| rates.appends_per_sec),
        of(|rates| rates.files_per_sec)
    );
}

/// What verifying costs.
pub(crate) fn verification(costs: &[verify::Cost]) {
    let mut table = table(&[
        "GET",
        "verified, MiB/s",
        "not verified, MiB/s",
        "verified/not",
        "server's CPU s/GiB",
        "not verified, CPU s/GiB",
    ]);
    for cost in costs {
        let rates = |turns: &[verify::Turn]| turns.iter().map(|turn| turn.mib / turn.wall).collect::<Vec<_>>();
        let (with, without) = (rates(&cost.verified), rates(&cost.unverified));
        let ratios = with.iter().zip(&without).map(|(with, without)| with / without);
        let shown = |figures: &[f64]| Spread::shown(Spread::of(figures.iter().copied()), 0);
        let cpu = |turns: &[verify::Turn]| {
            let (secs, mib) = turns.iter().fold((0.0, 0.0), |(secs, mib), turn| (secs + turn.cpu, mib + turn.mib));
            format!("{:.3}", secs / mib * 1024.0)
        };
        table.add_row(vec![
            cost.name.clone(),
            shown(&with),
            shown(&without),
            Spread::shown(Spread::of(ratios), 3),
            cpu(&cost.verified),
            cpu(&cost.unverified),
        ]);
    }
    print(
        "GET with and without verifying each chunk: median (min-max) of the turns; the processor's time is \
         that of all turns together",
        &table,
    );
}

/// How much of the machine somebody else used meanwhile.
pub(crate) fn noise(measured: &Measured) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let others =
        Spread::of(measured.all().map(|sample| 100.0 * sample.other_cpu / (cores * sample.wall.as_secs_f64())));
    println!(
        "\nNoise: of the machine's processor time, {} % went to others (kernel threads included) while a side was \
         measured: median (min-max) of the measurements.",
        Spread::shown(others, 0)
    );
}

/// Syncs per PUT.
pub(crate) fn syncs(counts: &[SyncCount]) {
    if counts.is_empty() {
        return;
    }
    let mut table = table(&["PUT", "side", "PUTs", "syncs", "syncs per PUT", "calls"]);
    for count in counts {
        let total: usize = count.calls.iter().map(|(_, count)| count).sum();
        let calls: Vec<String> = count.calls.iter().map(|(call, count)| format!("{count} {call}")).collect();
        table.add_row(vec![
            count.case.to_string(),
            count.side.to_string(),
            count.puts.to_string(),
            total.to_string(),
            format!("{:.2}", total as f64 / count.puts as f64),
            calls.join(", "),
        ]);
    }
    print("Syncs, counted with strace; a few belong to the first requests of the connections", &table);
}

/// Memory while large objects stream.
pub(crate) fn memory(held: &[Held]) {
    let mut table = table(&["", "program", "VmHWM", "VmRSS at 5 %", "25 %", "50 %", "75 %", "100 %", "flat", "MiB/s"]);
    for row in held {
        let case = Case { bytes: row.bytes, parallel: crate::memory::STREAMS };
        let moved = case.parallel as f64 * row.bytes as f64 / MIB as f64 / row.wall.as_secs_f64();
        let mut cells = vec![format!("{} {case}", row.verb), row.program.to_owned(), mib(row.peak)];
        cells.extend([0.05, 0.25, 0.5, 0.75, 1.0].map(|fraction| mib(row.at(fraction))));
        cells.push(if row.is_flat() { "yes" } else { "NO" }.to_owned());
        cells.push(format!("{moved:.0}"));
        table.add_row(cells);
    }
    print("Memory in MiB, kheeper through its proxy", &table);
}

/// Real clients beside the peer: the rounds' medians, and ratios within a round.
pub(crate) fn clients(pairs: &[Pair]) {
    let mut table = table(&[
        "client",
        "PUTs",
        "proxy p50",
        "p99",
        "slowest",
        "peer p50",
        "p99",
        "slowest",
        "proxy/peer p50",
        "p99",
    ]);
    let mut named: Vec<(&str, Load)> = Vec::new();
    for pair in pairs {
        if !named.contains(&(pair.client, pair.load)) {
            named.push((pair.client, pair.load));
        }
    }
    for (client, load) in named {
        let rounds: Vec<&Pair> = pairs.iter().filter(|pair| pair.client == client && pair.load == load).collect();
        let figure = |side: fn(&Pair) -> &[Duration], hundredth: usize| {
            Spread::of(rounds.iter().map(|pair| at(side(pair), hundredth)))
                .map_or_else(|| "-".to_owned(), |spread| format!("{:.2}", spread.median))
        };
        let ratio = |hundredth: usize| {
            let ratios = rounds.iter().map(|pair| at(&pair.proxy, hundredth) / at(&pair.peer, hundredth));
            Spread::shown(Spread::of(ratios), 2)
        };
        let size = Case { bytes: load.bytes, parallel: 1 };
        let mut row = vec![client.to_owned(), format!("{} of {size}", load.count)];
        row.extend([50, 99, 100].map(|hundredth| figure(|pair| &pair.proxy, hundredth)));
        row.extend([50, 99, 100].map(|hundredth| figure(|pair| &pair.peer, hundredth)));
        row.extend([ratio(50), ratio(99)]);
        table.add_row(row);
    }
    print(
        "PUTs by real clients, in ms: medians of the rounds; ratios, median (min-max), are taken within a round",
        &table,
    );
}

/// wal-g's base backups.
pub(crate) fn pushes(pushed: &Pushed) {
    let mut table = table(&["", "s", "MiB/s", "wal-g", "proxy", "server", "all else"]);
    let proxy: Vec<&Push> = pushed.rounds.iter().map(|round| &round.proxy).collect();
    let folder: Vec<&Push> = pushed.rounds.iter().map(|round| &round.folder).collect();
    for (name, pushes) in [("proxy", proxy), ("folder", folder)] {
        let of = |figure: &dyn Fn(&Push) -> f64| Spread::of(pushes.iter().map(|push| figure(push)));
        let cpu = |program: &str| {
            let secs = |push: &Push| push.cpu.iter().find(|(name, _)| *name == program).map_or(0.0, |(_, secs)| *secs);
            Spread::shown(of(&secs), 1)
        };
        let mib = pushed.database_bytes as f64 / MIB as f64;
        table.add_row(vec![
            name.to_owned(),
            Spread::shown(of(&|push| push.wall.as_secs_f64()), 1),
            Spread::shown(of(&|push| mib / push.wall.as_secs_f64()), 0),
            cpu("wal-g"),
            cpu("proxy"),
            cpu("server"),
            Spread::shown(of(&|push| push.other_cpu), 1),
        ]);
    }
    let title = format!(
        "wal-g backup-push of {} MiB ({} MiB stored): seconds, and processor seconds of each program",
        mib(pushed.database_bytes),
        mib(pushed.backup_bytes)
    );
    print(&title, &table);
    let ratios = pushed.rounds.iter().map(|round| round.proxy.wall.as_secs_f64() / round.folder.wall.as_secs_f64());
    println!("\nproxy/folder, in time: {}.", Spread::shown(Spread::of(ratios), 2));
    if let Some(calls) = &pushed.syncs {
        let calls: Vec<String> = calls.iter().map(|(call, count)| format!("{count} {call}")).collect();
        println!(
            "Syncs of proxy and server during one push: {}. wal-g's folder is synced by nobody.",
            calls.join(", ")
        );
    }
}

/// What the request at this hundredth of the ascending latencies took, in ms; at 100, the slowest.
fn at(latencies: &[Duration], hundredth: usize) -> f64 {
    let index = (latencies.len() * hundredth / 100).min(latencies.len().saturating_sub(1));
    latencies.get(index).map_or(f64::NAN, |time| millis(*time))
}

fn rate(case: Case, sample: &Sample) -> f64 {
    let per_second = sample.count as f64 / sample.wall.as_secs_f64();
    if case.is_small() { per_second } else { per_second * case.bytes as f64 / MIB as f64 }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / MIB as f64)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header.to_vec());
    table
}

fn print(title: &str, table: &Table) {
    println!("\n{title}\n\n{table}");
}
