//! Named places at which a test makes the store stop dead, fail, wait, or leave a sync out.
//!
//! Only builds with debug assertions have them; in a release build each is nothing at all. `KHEEPER_FAILPOINTS` is a
//! list such as `blob.sync=skip,index.commit=kill@3`: a place, what happens there, and after `@` the visit it happens
//! at (else at every one). With `KHEEPER_FAILPOINTS_WHILE` it happens only while that file exists.
//!
//! | Action | What happens |
//! |---|---|
//! | `kill` | the process kills itself with SIGKILL |
//! | `skip` | a sync is said to have been done, and was not |
//! | `io` | the step fails with EIO |
//! | `wait` | the step takes two seconds more |

/// What a place that was reached does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Its work.
    GoOn,
    /// Nothing, and says that it did.
    Skip,
}

#[cfg(not(debug_assertions))]
mod places {
    /// Nothing happens here.
    #[inline(always)]
    pub(crate) fn reach(_: &'static str) -> std::io::Result<super::Reached> {
        Ok(super::Reached::GoOn)
    }
}

#[cfg(debug_assertions)]
mod places {
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;
    use std::{env, io, thread};

    use rustix::process::{Signal, getpid, kill_process};

    use super::Reached;

    /// How long `wait` waits.
    const WAIT: Duration = Duration::from_secs(2);

    struct Failpoint {
        place: String,
        action: String,
        visit: Option<u64>,
        visits: AtomicU64,
    }

    struct Failpoints {
        points: Vec<Failpoint>,
        only_while: Option<PathBuf>,
    }

    static FAILPOINTS: LazyLock<Failpoints> = LazyLock::new(|| {
        let list = env::var("KHEEPER_FAILPOINTS").unwrap_or_default();
        let points = list.split(',').filter_map(|point| {
            let (place, action) = point.split_once('=')?;
            let (action, visit) = action.split_once('@').map_or((action, None), |(a, visit)| (a, visit.parse().ok()));
            Some(Failpoint { place: place.into(), action: action.into(), visit, visits: AtomicU64::new(0) })
        });
        Failpoints { points: points.collect(), only_while: env::var_os("KHEEPER_FAILPOINTS_WHILE").map(PathBuf::from) }
    });

    /// Does what the environment wants to happen at `place`, if anything.
    pub(crate) fn reach(place: &'static str) -> io::Result<Reached> {
        let failpoints = &*FAILPOINTS;
        let Some(point) = failpoints.points.iter().find(|point| point.place == place) else {
            return Ok(Reached::GoOn);
        };
        if failpoints.only_while.as_ref().is_some_and(|file| !file.exists()) {
            return Ok(Reached::GoOn);
        }
        let visit = point.visits.fetch_add(1, Ordering::SeqCst) + 1;
        if point.visit.is_some_and(|wanted| wanted != visit) {
            return Ok(Reached::GoOn);
        }
        match point.action.as_str() {
            "kill" => loop {
                let _ = kill_process(getpid(), Signal::KILL);
            },
            "skip" => Ok(Reached::Skip),
            "io" => Err(io::Error::from(rustix::io::Errno::IO)),
            "wait" => {
                thread::sleep(WAIT);
                Ok(Reached::GoOn)
            }
            _ => Ok(Reached::GoOn),
        }
    }
}

pub(crate) use places::reach;
