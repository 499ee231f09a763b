//! What a naive S3 server gets wrong: forty surprises, each a case with its own name, spoken as the client in question does.
//!
//! Each case is written once and runs twice: through a host's proxy, and against versitygw, an S3 server by somebody else,
//! so that a wrong case is noticed. Where that one differs, [`peer::DIFFERENCES`] says so and why, the case must fail there,
//! and the table is printed at the end. [`steering`] and [`states`] are the table of errors; what real clients make of them is in
//! the area `clients`.

mod answers;
mod buckets;
mod copies;
mod deletes;
mod framing;
mod integrity;
mod listing;
mod multipart;
mod paths;
mod peer;
mod ranges;
mod stage;
mod states;
mod steering;
mod subject;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use kheeper_e2e::unix;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::peer::Difference;
use crate::stage::Stage;
use crate::subject::Subject;

/// A case: its number in the list of surprises (0 where it is none of them), its name, and what it does.
pub(crate) type Case = (u32, &'static str, fn(&Subject));

/// The cases of a topic.
macro_rules! cases {
    ($($number:literal => $name:ident,)*) => {
        pub(crate) const CASES: &[crate::Case] = &[$(($number, stringify!($name), $name),)*];
    };
}
pub(crate) use cases;

const TOPICS: [(&str, &[Case]); 12] = [
    ("framing", framing::CASES),
    ("integrity", integrity::CASES),
    ("deletes", deletes::CASES),
    ("listing", listing::CASES),
    ("paths", paths::CASES),
    ("answers", answers::CASES),
    ("ranges", ranges::CASES),
    ("multipart", multipart::CASES),
    ("buckets", buckets::CASES),
    ("copies", copies::CASES),
    ("steering", steering::CASES),
    ("states", states::CASES),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let stage = Arc::new(Stage::new());
    let mut trials = Vec::new();
    for (topic, cases) in TOPICS {
        for &(number, name, case) in cases {
            let name = format!("{topic}::{name}");
            let (on_kheeper, on_peer) = (Arc::clone(&stage), Arc::clone(&stage));
            trials.push(Trial::test(format!("{name}::kheeper"), move || {
                case(&Subject::kheeper(on_kheeper));
                Ok(())
            }));
            let difference = peer::difference(&name);
            if !matches!(difference, Some(Difference::NotAsked(_))) {
                let trial = format!("{name}::{}", peer::NAME);
                trials.push(Trial::test(trial.clone(), move || {
                    if peer::program().is_none() {
                        unix::note_not_run("PEER", &trial);
                        return Ok(());
                    }
                    against_peer(difference, || case(&Subject::peer(on_peer)))
                }));
            }
            assert!(number <= 40, "there are forty surprises");
        }
    }
    every_surprise_has_a_case();
    let listing = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !listing {
        peer::print_differences();
    }
    // Programs are ended here: a static would leave them running.
    drop(stage);
    if conclusion.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A case that the table says the peer fails has to fail there: a table that is not true any more is noticed.
fn against_peer(difference: Option<Difference>, case: impl FnOnce()) -> Result<(), Failed> {
    let Some(Difference::Differs(reason)) = difference else {
        case();
        return Ok(());
    };
    match catch_unwind(AssertUnwindSafe(case)) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("the table says that {} differs, and it does not: {reason}", peer::NAME).into()),
    }
}

fn every_surprise_has_a_case() {
    let numbers: BTreeSet<u32> =
        TOPICS.iter().flat_map(|(_, cases)| cases.iter().map(|(number, ..)| *number)).collect();
    let missing: Vec<u32> = (1..=40).filter(|number| !numbers.contains(number)).collect();
    assert!(missing.is_empty(), "no case for the surprises {missing:?}");
    let names: Vec<String> = TOPICS
        .iter()
        .flat_map(|(topic, cases)| cases.iter().map(move |(_, name, _)| format!("{topic}::{name}")))
        .collect();
    for name in peer::named() {
        assert!(names.iter().any(|known| known == name), "the table of differences names {name}, which is no case");
    }
}
