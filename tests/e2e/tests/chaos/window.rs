//! The window, with the server's own clock moved: what is hidden stays to its last hour, goes after it, and no clock that
//! jumps takes anything with it.

use std::process::Command;

use kheeper_e2e::clock::MovedClock;
use kheeper_e2e::wait::secs;
use kheeper_e2e::world::Host;
use kheeper_e2e::{Done, Door, Proxy, World, command};

const DAY_MINUTES: u64 = 24 * 60;
/// The window of a host of which nothing else was said: seven days.
const WINDOW_MINUTES: u64 = 7 * DAY_MINUTES;

/// A server, its proxies and its command lines under one clock that the test moves.
struct Scene {
    world: World,
    host: Host,
    door: Door,
    clock: MovedClock,
    _proxy: Proxy,
}

fn scene() -> Scene {
    let mut world = World::start();
    let host = world.host("web-01");
    let clock = MovedClock::new(&world.path("clock"));
    clock.restart(&mut world.server);
    let proxy = Proxy::start_in(&host.cli, &[], &clock.variables());
    Scene { world, host, door: proxy.door(), clock, _proxy: proxy }
}

impl Scene {
    /// Lets time pass, with a commit now and then.
    fn pass_until(&mut self, minutes: u64) {
        let (door, path) = (&self.door, self.host.path("tick"));
        self.clock.pass_until(minutes, || drop(door.put(&path, b"tick").expect(200)));
    }

    /// The owner's command, by the same clock.
    fn owner(&self, args: &[&str]) -> Done {
        let mut owner: Command = self.world.alice.command(args);
        owner.envs(self.clock.variables());
        command::run(owner, secs(30)).ok()
    }

    /// Versions of a key.
    fn versions(&self, key: &str) -> usize {
        let listed = self.owner(&["objects", "list", "--versions", &self.host.namespace(), "--json"]).json();
        let versions = listed.as_array().expect("a list");
        versions.iter().filter(|version| version["key"] == format!("web-01/{key}")).count()
    }

    /// What a sweep purged, which did not refuse.
    fn sweep(&self) -> u64 {
        let swept = self.world.server.operator_json(&["sweep"]);
        assert_eq!(self.refused_metric(), 0, "{swept}");
        swept["purged_versions"].as_u64().expect("a number")
    }

    /// A sweep that refuses: it fails, it says so to whoever watches, and purges nothing.
    fn sweep_refuses(&self, why: &str) {
        let refused = self.world.server.operator(&["sweep", "--json"]).failed();
        assert_eq!(refused.code(), 1, "{refused}");
        let report: serde_json::Value = serde_json::from_str(&refused.stdout).expect("a report");
        assert!(report["refused"].as_str().is_some_and(|said| said.contains(why)), "{why}: {report}");
        for count in ["purged_versions", "deleted_contents", "deleted_blobs", "condemned_blobs"] {
            assert_eq!(report[count], 0, "{report}");
        }
        assert_eq!(self.refused_metric(), 1);
    }

    fn refused_metric(&self) -> u64 {
        let metrics = Door::anonymous(self.world.server.address()).get("/-/metrics").expect(200).text();
        let value = metrics.lines().find_map(|line| line.strip_prefix("kheeper_sweep_refused "));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no such metric:\n{metrics}"))
    }
}

#[test]
fn what_is_hidden_is_there_an_hour_before_its_window_ends_gone_an_hour_after_and_no_jump_of_the_clock_takes_anything() {
    let mut scene = scene();
    let path = scene.host.path("a");
    let (first, second, third) = (vec![1; 50_000], vec![2; 50_000], vec![3; 50_000]);
    scene.door.put(&path, &first).expect(200);
    scene.pass_until(10);
    scene.door.put(&path, &second).expect(200);
    let hidden_at = scene.clock.minutes();
    assert_eq!(scene.versions("a"), 2);

    scene.pass_until(hidden_at + WINDOW_MINUTES - 60);
    let _ticks = scene.sweep();
    assert_eq!(scene.versions("a"), 2, "an hour before the end nothing is gone");
    let at = format!("{}m ago", scene.clock.minutes() - hidden_at + 5);
    let past = Proxy::start_in(&scene.world.alice, &["--at", &at], &scene.clock.variables());
    assert!(past.door().get(&path).expect(200).body == first, "and it can be read as of then");
    drop(past);

    scene.pass_until(hidden_at + WINDOW_MINUTES + 60);
    assert!(scene.sweep() >= 1);
    assert_eq!(scene.versions("a"), 1, "an hour after the end it is gone");
    assert!(scene.door.get(&path).expect(200).body == second);

    scene.door.put(&path, &third).expect(200);
    assert_eq!(scene.versions("a"), 2);
    let present = scene.clock.minutes();
    let (decade, jumped) = (3650 * DAY_MINUTES, "long after the last commit");
    scene.clock.set(present + decade);
    scene.sweep_refuses(jumped);
    assert_eq!(scene.versions("a"), 2, "ten years later by a clock that nobody believes");
    // A commit by that clock does not make it trusted.
    scene.door.put(&scene.host.path("later"), b"later").expect(200);
    scene.sweep_refuses("the clock jumped ahead");
    assert_eq!(scene.versions("a"), 2);
    scene.clock.set(present);
    scene.sweep_refuses("long before the last commit");
    assert_eq!(scene.versions("a"), 2);
    scene.pass_until(present + 100);
    scene.sweep_refuses("long before the last commit");
    assert_eq!(scene.versions("a"), 2, "what was hidden is still there");
    assert!(scene.door.get(&path).expect(200).body == third);
    scene.world.server.operator(&["fsck", "--read-data"]).ok();
}
