//! `kheeper hosts me`.

use crate::{Machine, stderr, stdout};

#[test]
fn hosts_me_env_prints_exactly_the_eight_lines() {
    let output = Machine::new().run("--context default hosts me --env");
    assert!(output.status.success());
    assert_eq!(
        stdout(&output),
        "AWS_ACCESS_KEY_ID=dummy\n\
         AWS_SECRET_ACCESS_KEY=dummy\n\
         AWS_REGION=us-east-1\n\
         AWS_DEFAULT_REGION=us-east-1\n\
         AWS_ENDPOINT=http://127.0.0.1:5000\n\
         WALG_S3_PREFIX=s3://myorg/web-01\n\
         AWS_S3_FORCE_PATH_STYLE=true\n\
         WALG_S3_FORCE_PATH_STYLE=true\n"
    );
    assert_eq!(stderr(&output), "");
}

#[test]
fn endpoint_and_prefix_are_taken() {
    let text = stdout(&Machine::new().run("hosts me --env --endpoint http://127.0.0.1:6000/ --prefix pg16-main"));
    assert!(text.contains("\nAWS_ENDPOINT=http://127.0.0.1:6000\n"), "{text}");
    assert!(text.contains("\nWALG_S3_PREFIX=s3://myorg/web-01/pg16-main\n"), "{text}");
}

#[test]
fn other_tools_get_their_own_settings() {
    let machine = Machine::new();
    assert!(stdout(&machine.run("hosts me --env=rclone")).starts_with("[myorg-host]\n"));
    assert!(stdout(&machine.run("hosts me --env=restic")).contains("s3:http://127.0.0.1:5000/myorg/web-01\n"));
    assert!(stdout(&machine.run("hosts me --env=aws")).contains("AWS_ENDPOINT_URL=http://127.0.0.1:5000\n"));
    let output = machine.run("hosts me --env=tar");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("walg, aws, restic, rclone, pgbackrest, barman"));
}

#[test]
fn in_a_users_context_the_host_must_be_named() {
    let machine = Machine::new();
    let output = machine.run("--context alice hosts me --env");
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("--host ORG/HOST"), "{}", stderr(&output));
    let output = machine.run("--context alice hosts me --env --host myorg/web-02");
    assert!(stdout(&output).contains("WALG_S3_PREFIX=s3://myorg/web-02\n"));
}

#[test]
fn a_host_may_name_another_whose_backups_it_reads_by_a_grant() {
    let output = Machine::new().run("hosts me --env --host myorg/web-02");
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("WALG_S3_PREFIX=s3://myorg/web-02\n"), "{}", stdout(&output));
}

#[test]
fn json_says_what_the_identity_file_says() {
    let text = stdout(&Machine::new().run("hosts me --json"));
    let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(record["org"], "myorg");
    assert_eq!(record["host"], "web-01");
    assert_eq!(record["context"], "default");
}

#[test]
fn without_an_identity_it_says_how_to_get_one() {
    let output = Machine::new().run("--context nobody hosts me");
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("kheeper hosts join -"), "{}", stderr(&output));
}
