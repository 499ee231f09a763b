//! `kheeper hosts me`, byte for byte, and what is not there yet.

use kheeper_e2e::World;
use kheeper_e2e::world::text;

#[test]
fn the_eight_lines_are_byte_for_byte_and_need_no_server() {
    let mut world = World::start();
    let host = world.host("web-01");
    world.server.kill9();
    let lines = "AWS_ACCESS_KEY_ID=dummy\n\
                 AWS_SECRET_ACCESS_KEY=dummy\n\
                 AWS_REGION=us-east-1\n\
                 AWS_DEFAULT_REGION=us-east-1\n\
                 AWS_ENDPOINT=http://127.0.0.1:5000\n\
                 WALG_S3_PREFIX=s3://myorg/web-01\n\
                 AWS_S3_FORCE_PATH_STYLE=true\n\
                 WALG_S3_FORCE_PATH_STYLE=true\n";
    assert_eq!(host.cli.ok(&["hosts", "me", "--env"]).stdout, lines);
    assert_eq!(host.cli.ok(&["hosts", "me", "--env=walg"]).stdout, lines);
    let elsewhere = host.cli.ok(&["hosts", "me", "--env", "--endpoint", "http://127.0.0.1:5999"]).stdout;
    assert_eq!(elsewhere, lines.replace(":5000", ":5999"));
    let prefixed = host.cli.ok(&["hosts", "me", "--env", "--prefix", "pg16-main"]).stdout;
    assert_eq!(prefixed, lines.replace("/web-01\n", "/web-01/pg16-main\n"));
    let whose = world.alice.ok(&["hosts", "me", "--env", "--host", "myorg/web-01"]).stdout;
    assert_eq!(whose, lines);
    let restic = host.cli.ok(&["hosts", "me", "--env=restic"]).stdout;
    assert!(restic.contains("RESTIC_REPOSITORY=s3:http://127.0.0.1:5000/myorg/web-01\n"), "{restic}");
    let rclone = host.cli.ok(&["hosts", "me", "--env=rclone"]).stdout;
    assert!(rclone.starts_with("[myorg-host]\ntype = s3\n"), "{rclone}");
    assert!(host.cli.ok(&["hosts", "me", "--env=aws"]).stdout.contains("AWS_ENDPOINT_URL=http://127.0.0.1:5000\n"));
    let unknown = host.cli.run(&["hosts", "me", "--env=tar"]).failed();
    assert!(unknown.stderr.contains("restic"), "it names what there is: {unknown}");
    assert_eq!(text(&host.cli.json(&["hosts", "me"])["host"]), "web-01");
}

#[test]
fn what_is_not_built_yet_says_so() {
    let world = World::start();
    for args in [["drill", "web-01"], ["setup", "postgres"]] {
        let done = world.alice.run(&args).failed();
        assert!(done.stderr.to_lowercase().contains("not built yet"), "{done}");
    }
}
