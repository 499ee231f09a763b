//! Files, modes, and what a crash between two steps leaves.

use kheeper_model::HostId;
use tempfile::TempDir;

use super::*;
use crate::IdentitySubject;

fn config() -> (TempDir, ConfigDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = ConfigDir::at(dir.path().join("kheeper"));
    (dir, config)
}

fn identity(pending: &PendingKey) -> Identity {
    Identity {
        origin: "https://backup.example.com".parse().unwrap(),
        subject: IdentitySubject::Host { namespace: "myorg/web-01".parse().unwrap(), host_id: HostId::random() },
        key_id: pending.key().public_key().key_id(),
        pin: None,
        machine_id: None,
    }
}

fn enrol(context: &Context, tag: &str) -> Identity {
    let pending = context.pending_key(tag).unwrap();
    let identity = identity(&pending);
    context.complete(&pending, &identity).unwrap();
    identity
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn an_enrolled_context_has_the_documented_modes_and_reads_back() {
    let (_dir, config) = config();
    let context = config.context(ContextName::default());
    let identity = enrol(&context, "a");
    assert_eq!(mode(config.path()), 0o755);
    assert_eq!(mode(context.dir()), 0o755);
    assert_eq!(mode(context.dir().join(IDENTITY_FILE)), 0o644);
    assert_eq!(mode(context.dir().join(PRIVATE_KEY_FILE)), 0o600);
    let (read, key) = context.identity_and_key().unwrap();
    assert_eq!(read, identity);
    assert_eq!(key.public_key().key_id(), identity.key_id);
    assert_eq!(fs::read_dir(context.dir()).unwrap().count(), 2, "nothing else is left behind");
}

#[test]
fn a_key_that_others_can_read_is_refused_by_every_such_mode() {
    let (_dir, config) = config();
    let context = config.context(ContextName::default());
    enrol(&context, "a");
    let path = context.dir().join(PRIVATE_KEY_FILE);
    for bits in [0o640, 0o604, 0o660, 0o620, 0o601] {
        fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
        let error = context.identity_and_key().unwrap_err();
        assert!(matches!(error, ContextError::KeyExposed { mode, .. } if mode == bits), "{bits:o}: {error}");
        assert!(context.identity().is_ok(), "who the host is may be read all the same");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    assert!(context.identity_and_key().is_ok());
}

#[test]
fn a_pending_key_is_on_disk_and_the_same_attempt_finds_it_again() {
    let (_dir, config) = config();
    let context = config.context(ContextName::default());
    let first = context.pending_key("token-a").unwrap();
    assert_eq!(mode(context.dir().join("pending-token-a.pem")), 0o600);
    let again = context.pending_key("token-a").unwrap();
    assert_eq!(again.key().public_key(), first.key().public_key());
    let other = context.pending_key("token-b").unwrap();
    assert_ne!(other.key().public_key(), first.key().public_key());
    assert!(matches!(context.identity(), Err(ContextError::NoIdentity { .. })), "pending is not enrolled");
    context.discard(other).unwrap();
    assert!(!context.dir().join("pending-token-b.pem").exists());
}

#[test]
fn a_crash_between_key_and_identity_is_taken_up_by_the_next_attempt() {
    let (_dir, config) = config();
    let context = config.context(ContextName::default());
    let pending = context.pending_key("a").unwrap();
    fs::copy(context.dir().join("pending-a.pem"), context.dir().join(PRIVATE_KEY_FILE)).unwrap();
    // Another attempt is another key, whatever the first one left.
    assert_ne!(context.pending_key("b").unwrap().key().public_key(), pending.key().public_key());
    let again = context.pending_key("a").unwrap();
    assert_eq!(again.key().public_key(), pending.key().public_key());
    context.complete(&again, &identity(&again)).unwrap();
    assert!(context.identity_and_key().is_ok());
}

#[test]
fn what_a_crash_before_the_last_step_leaves_can_be_forgotten_more_than_once() {
    let (_dir, config) = config();
    let context = config.context(ContextName::default());
    let identity = enrol(&context, "a");
    fs::copy(context.dir().join(PRIVATE_KEY_FILE), context.dir().join("pending-a.pem")).unwrap();
    for _ in 0..2 {
        context.forget_pending("a").unwrap();
        assert!(!context.dir().join("pending-a.pem").exists());
    }
    assert_eq!(context.identity_and_key().unwrap().0, identity);
}

#[test]
fn an_identity_is_replaced_only_on_request_and_the_old_one_works_until_then() {
    let (_dir, config) = config();
    let context = config.context(ContextName::default());
    let old = enrol(&context, "a");
    let error = context.check_free(Replace::No).unwrap_err();
    assert!(error.to_string().contains("host myorg/web-01"), "{error}");
    context.check_free(Replace::Yes).unwrap();
    let pending = context.pending_key("b").unwrap();
    assert_eq!(context.identity_and_key().unwrap().0, old);
    let new = identity(&pending);
    context.complete(&pending, &new).unwrap();
    assert_eq!(context.identity_and_key().unwrap().0, new);
}

#[test]
fn a_key_of_another_enrolment_is_noticed() {
    let (_dir, config) = config();
    let (a, b) = (config.context("a".parse().unwrap()), config.context("b".parse().unwrap()));
    enrol(&a, "x");
    enrol(&b, "x");
    fs::copy(b.dir().join(PRIVATE_KEY_FILE), a.dir().join(PRIVATE_KEY_FILE)).unwrap();
    assert!(matches!(a.identity_and_key(), Err(ContextError::KeyMismatch { .. })));
}

#[test]
fn contexts_are_listed_by_name_and_one_can_be_set() {
    let (_dir, config) = config();
    assert_eq!(config.contexts().unwrap(), []);
    for name in ["web", "alice"] {
        enrol(&config.context(name.parse().unwrap()), "x");
    }
    let names: Vec<_> = config.contexts().unwrap().iter().map(|context| context.name().to_string()).collect();
    assert_eq!(names, ["alice", "web"]);
    assert_eq!(config.current().unwrap(), None);
    config.set_current(&"alice".parse().unwrap()).unwrap();
    assert_eq!(config.current().unwrap(), Some("alice".parse().unwrap()));
    let error = config.set_current(&"bob".parse().unwrap()).unwrap_err();
    assert!(matches!(error, ContextError::NoSuchContext { .. }));
}

#[test]
fn the_context_in_use_is_the_named_one_then_the_set_one_then_default() {
    let (_dir, config) = config();
    for name in ["default", "alice"] {
        enrol(&config.context(name.parse().unwrap()), "x");
    }
    let environment = Environment { kheeper_config: Some(config.path().to_owned()), ..Environment::default() };
    let found = |named: Option<&str>| {
        let named = named.map(|name| name.parse().unwrap());
        Context::find(&environment, named.as_ref()).unwrap().name().to_string()
    };
    assert_eq!(found(None), "default");
    config.set_current(&"alice".parse().unwrap()).unwrap();
    assert_eq!(found(None), "alice");
    assert_eq!(found(Some("default")), "default");
    assert_eq!(found(Some("nobody")), "nobody");
}

#[test]
fn directories_follow_the_environment() {
    let user = Environment { home: Some("/home/alice".into()), ..Environment::default() };
    assert_eq!(ConfigDir::for_writing(&user).unwrap().path(), Path::new("/home/alice/.config/kheeper"));
    let xdg = Environment { xdg_config_home: Some("/x".into()), ..user.clone() };
    assert_eq!(ConfigDir::for_writing(&xdg).unwrap().path(), Path::new("/x/kheeper"));
    let told = Environment { kheeper_config: Some("/told".into()), ..xdg };
    assert_eq!(ConfigDir::for_writing(&told).unwrap().path(), Path::new("/told"));
    assert_eq!(ConfigDir::for_reading(&told).unwrap(), [ConfigDir::at("/told")]);
    let dirs = ConfigDir::for_reading(&user).unwrap();
    assert_eq!(dirs[1..], [ConfigDir::at("/etc/kheeper"), ConfigDir::at("/var/lib/kheeper")]);
    assert!(matches!(ConfigDir::for_writing(&Environment::default()), Err(ContextError::NoConfigDir)));
}

#[test]
fn an_unwritable_directory_is_named_in_the_error() {
    let (dir, _) = config();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = ConfigDir::at(dir.path().join("file")).context(ContextName::default()).pending_key("a").unwrap_err();
    assert!(matches!(&error, ContextError::Write { path, .. } if path.starts_with(dir.path())), "{error}");
}

#[test]
fn a_context_name_cannot_leave_the_directory() {
    for name in ["", ".", "..", "../etc", "a/b", ".hidden", "-x", "a b", &"a".repeat(64)] {
        assert!(name.parse::<ContextName>().is_err(), "{name}");
    }
    assert!("web-01.prod_2".parse::<ContextName>().is_ok());
}
