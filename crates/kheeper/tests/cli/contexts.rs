//! `kheeper contexts`, and the commands that are not built yet.

use crate::{Machine, stderr, stdout};

#[test]
fn the_set_context_is_used_until_another_is_named() {
    let machine = Machine::new();
    assert!(stdout(&machine.run("hosts me")).starts_with("identity   host myorg/web-01\n"));
    assert!(machine.run("contexts set alice").status.success());
    assert!(stdout(&machine.run("hosts me")).starts_with("identity   user usr_"));
    assert!(stdout(&machine.run("--context default hosts me")).starts_with("identity   host myorg/web-01\n"));
    let list = stdout(&machine.run("contexts list"));
    assert!(list.lines().any(|line| line.starts_with("*        alice    user usr_")), "{list}");
}

#[test]
fn a_context_that_is_not_there_cannot_be_set() {
    let output = Machine::new().run("contexts set bob");
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("no context bob"), "{}", stderr(&output));
}

#[test]
fn what_is_not_built_says_so() {
    let machine = Machine::new();
    for line in ["setup postgres", "restore", "drill", "doctor"] {
        let output = machine.run(line);
        assert_eq!(output.status.code(), Some(6), "{line}");
        assert!(stderr(&output).contains("is not built yet"), "{line}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_missing_key_is_a_configuration_error() {
    let output = Machine::new().run("auth token");
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("ed25519_private.pem"), "{}", stderr(&output));
}
