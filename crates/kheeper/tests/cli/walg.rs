//! `kheeper walg`: what wal-g finds in its environment.

use std::fs;

use crate::{Machine, stderr, stdout};

#[test]
fn wal_g_finds_the_hosts_settings_and_its_arguments() {
    let script = r#"echo "$@"; env | grep -E '^(AWS|WALG|S3)_' | sort"#;
    let output = Machine::new().with_walg("walg backup-push /data --full", script).output().expect("runs");
    let text = stdout(&output);
    assert!(text.starts_with("backup-push /data --full\n"), "{text}");
    assert!(text.contains("WALG_S3_PREFIX=s3://myorg/web-01\n"), "{text}");
    assert!(text.contains("AWS_S3_FORCE_PATH_STYLE=true\n"), "{text}");
    assert!(!text.contains("RETRIES"), "base backups keep wal-g's patience: {text}");
}

#[test]
fn wal_push_gives_up_early_unless_the_user_says_otherwise() {
    let machine = Machine::new();
    let script = "env | grep RETR";
    let text = stdout(&machine.with_walg("walg wal-push x", script).output().expect("runs"));
    assert!(text.contains("WALG_S3_MAX_RETRIES=2\n"), "{text}");
    let mut command = machine.with_walg("walg wal-push x", script);
    let text = stdout(&command.env("S3_MAX_RETRIES", "9").output().expect("runs"));
    assert!(text.contains("S3_MAX_RETRIES=9\n") && !text.contains("WALG_S3_MAX_RETRIES"), "{text}");
}

#[test]
fn wal_g_keeps_its_notes_in_the_cluster_that_postgresql_calls_it_from() {
    let machine = Machine::new();
    let data = tempfile::tempdir().expect("a directory");
    let called = |pgdata: Option<&str>| {
        let mut command = machine.with_walg("walg wal-push pg_wal/x", r#"echo "$PGDATA""#);
        command.current_dir(data.path()).env_remove("PGDATA").envs(pgdata.map(|data| ("PGDATA", data)));
        stdout(&command.output().expect("runs"))
    };
    assert_eq!(called(None), "\n", "this is no data directory");
    fs::create_dir(data.path().join("pg_wal")).expect("our own directory");
    fs::write(data.path().join("PG_VERSION"), "15\n").expect("our own directory");
    assert_eq!(called(None), format!("{}\n", data.path().display()));
    assert_eq!(called(Some("")), format!("{}\n", data.path().display()));
    assert_eq!(called(Some("/elsewhere")), "/elsewhere\n");
}

#[test]
fn credentials_of_another_account_do_not_reach_the_program() {
    let script = r#"echo "key $AWS_ACCESS_KEY_ID profile $AWS_PROFILE token $AWS_SESSION_TOKEN""#;
    let machine = Machine::new();
    let mut command = machine.with_walg("walg st ls", script);
    command.env("AWS_ACCESS_KEY_ID", "AKIAREAL").env("AWS_PROFILE", "prod").env("AWS_SESSION_TOKEN", "secret");
    assert_eq!(stdout(&command.output().expect("runs")), "key dummy profile  token \n");
}

#[test]
fn wal_gs_own_status_comes_through() {
    let machine = Machine::new();
    for (line, status) in [("walg wal-push x", 1), ("walg backup-list", 0), ("walg delete", 7)] {
        let mut command = machine.with_walg(line, &format!("exit {status}"));
        assert_eq!(command.status().expect("runs").code(), Some(status), "{line}");
    }
}

#[test]
fn a_missing_wal_g_says_how_to_name_it() {
    let output = Machine::new().run("walg wal-push x");
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("install wal-g, or set WALG"), "{}", stderr(&output));
}
