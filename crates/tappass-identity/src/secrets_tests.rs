use std::{collections::HashMap, os::unix::fs::PermissionsExt as _};

use super::*;

type Env = HashMap<&'static str, String>;

fn load(dir: Option<&Path>, env: &Env) -> Result<(ServerSecrets, Vec<Created>), SecretsError> {
    ServerSecrets::load_or_create(dir, &|name| env.get(name).cloned())
}

fn for_public(dir: Option<&Path>, env: &Env) -> Result<ServerSecrets, SecretsError> {
    ServerSecrets::load_for_public(dir, &|name| env.get(name).cloned())
}

fn strong() -> Env {
    Name::ALL.into_iter().map(|name| (name.variable(), make(name))).collect()
}

fn same(a: &ServerSecrets, b: &ServerSecrets) -> bool {
    a.admin_api_key == b.admin_api_key && a.jwt_secret == b.jwt_secret && a.vault_key == b.vault_key
}

#[test]
fn what_is_missing_is_made_once_and_kept_privately() {
    let tmp = tempfile::tempdir().expect("a directory");
    let dir = tmp.path().join("data");
    let (first, made) = load(Some(&dir), &Env::new()).expect("secrets");
    assert_eq!(made.len(), 3);
    let file = dir.join(SECRETS_FILE);
    assert_eq!(made[0].path.as_deref(), Some(file.as_path()));
    let mode = |p: &Path| fs::metadata(p).expect("it").permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&file)), (0o700, 0o600));
    assert_eq!(fs::read_dir(&dir).expect("files").count(), 1, "nothing is left beside");

    let kept = ServerSecrets::kept_admin_key(&dir).expect("a file").expect("a key");
    assert_eq!(kept.as_str(), first.admin_api_key());
    assert!(ServerSecrets::kept_admin_key(tmp.path()).expect("no file").is_none());

    let (second, made) = load(Some(&dir), &Env::new()).expect("secrets");
    assert!(same(&first, &second));
    assert_eq!(made, []);
    assert_eq!(first.weaknesses(), Vec::<String>::new());
    for_public(Some(&dir), &Env::new()).expect("made before, so not missing");
}

#[test]
fn the_environment_wins_and_is_not_written() {
    let tmp = tempfile::tempdir().expect("a directory");
    let mut env = strong();
    env.remove("TAPPASS_JWT_SECRET");
    env.insert("TAPPASS_JWT_SECRET", "  ".to_owned());
    let (secrets, made) = load(Some(tmp.path()), &env).expect("secrets");
    assert_eq!(made.iter().map(|c| c.name).collect::<Vec<_>>(), [Name::JwtSecret]);
    assert_eq!(secrets.admin_api_key(), env["TAPPASS_ADMIN_API_KEY"]);
    let text = fs::read_to_string(tmp.path().join(SECRETS_FILE)).expect("the file");
    assert!(!text.contains(secrets.admin_api_key()) && text.contains(&secrets.jwt_secret));

    // A secret the environment no longer gives is made beside those kept.
    let (later, made) = load(Some(tmp.path()), &Env::new()).expect("secrets");
    assert_eq!(made.len(), 2);
    assert_eq!(later.jwt_secret, secrets.jwt_secret);
}

#[test]
fn in_memory_nothing_is_kept() {
    let (a, made) = load(None, &Env::new()).expect("secrets");
    assert!(made.iter().all(|c| c.path.is_none()) && made.len() == 3);
    let (b, _) = load(None, &Env::new()).expect("secrets");
    assert!(!same(&a, &b));
}

#[test]
fn open_files_and_directories_are_refused_with_the_command() {
    let tmp = tempfile::tempdir().expect("a directory");
    load(Some(tmp.path()), &Env::new()).expect("secrets");
    let file = tmp.path().join(SECRETS_FILE);
    let chmod = |p: &Path, mode| fs::set_permissions(p, fs::Permissions::from_mode(mode)).expect("chmod");

    chmod(&file, 0o640);
    let said = load(Some(tmp.path()), &Env::new()).expect_err("a refusal").to_string();
    assert!(said.ends_with(&format!("chmod 600 {}", file.display())), "{said}");

    chmod(&file, 0o600);
    chmod(tmp.path(), 0o770);
    let said = load(Some(tmp.path()), &Env::new()).expect_err("a refusal").to_string();
    assert!(said.ends_with(&format!("chmod go-w {}", tmp.path().display())), "{said}");
}

#[test]
fn a_broken_file_is_refused_without_its_values() {
    let tmp = tempfile::tempdir().expect("a directory");
    load(Some(tmp.path()), &Env::new()).expect("secrets");
    let file = tmp.path().join(SECRETS_FILE);
    fs::write(&file, "admin_api_key = \"tp_canary\njwt").expect("written");
    let said = load(Some(tmp.path()), &Env::new()).expect_err("a refusal").to_string();
    assert!(said.contains("secrets.toml") && !said.contains("canary"), "{said}");
}

#[test]
fn a_vault_key_of_another_length_is_refused() {
    for bad in ["", "c2hvcnQ=", "not base64!"] {
        let mut env = strong();
        env.insert("TAPPASS_VAULT_KEY", bad.to_owned());
        let result = for_public(None, &env);
        match bad {
            "" => assert!(matches!(result, Err(SecretsError::Missing(m)) if m == ["TAPPASS_VAULT_KEY"])),
            _ => assert!(matches!(result, Err(SecretsError::VaultKey))),
        }
    }
}

#[test]
fn a_public_address_makes_nothing_and_refuses_what_is_weak() {
    let tmp = tempfile::tempdir().expect("a directory");
    let said = for_public(Some(tmp.path()), &Env::new()).expect_err("a refusal").to_string();
    assert!(said.contains("TAPPASS_ADMIN_API_KEY, TAPPASS_JWT_SECRET, TAPPASS_VAULT_KEY"), "{said}");
    assert_eq!(fs::read_dir(tmp.path()).expect("files").count(), 0);
    for_public(None, &strong()).expect("strong");

    for (name, value, why) in [
        ("TAPPASS_ADMIN_API_KEY", "tp_short".to_owned(), "shorter than 32"),
        ("TAPPASS_ADMIN_API_KEY", "tp_changeme-9f8e7d6c5b4a39281706f5".to_owned(), "default"),
        ("TAPPASS_JWT_SECRET", "x".repeat(64), "pattern"),
        ("TAPPASS_JWT_SECRET", "q7Zp2LmX9vKd".repeat(4), "pattern"),
        ("TAPPASS_JWT_SECRET", "abcdefghijklmnopqrstuvwxyz0123456789".to_owned(), "pattern"),
        ("TAPPASS_JWT_SECRET", "super-Secret-9f8e7d6c5b4a39281706f5".to_owned(), "default"),
        ("TAPPASS_VAULT_KEY", STANDARD.encode([0; 32]), "pattern"),
        ("TAPPASS_VAULT_KEY", STANDARD.encode((0..32).collect::<Vec<u8>>()), "pattern"),
    ] {
        let mut env = strong();
        env.insert(name, value.clone());
        let said = for_public(None, &env).expect_err("a refusal").to_string();
        assert!(said.contains(name) && said.contains(why) && !said.contains(&value), "{said}");
    }
    let mut env = strong();
    env.insert("TAPPASS_JWT_SECRET", env["TAPPASS_ADMIN_API_KEY"].clone());
    assert!(for_public(None, &env).expect_err("a refusal").to_string().contains("are the same"));
}

#[test]
fn made_secrets_are_never_weak() {
    for _ in 0..500 {
        let (secrets, _) = load(None, &Env::new()).expect("secrets");
        assert_eq!(secrets.weaknesses(), Vec::<String>::new());
    }
}

#[test]
fn each_use_has_a_key_of_its_own() {
    let (s, _) = load(None, &Env::new()).expect("secrets");
    let derived = [*s.vault_key(), *s.key_pepper(), *s.session_pepper(), *s.audit_signing_seed()];
    let different: std::collections::BTreeSet<_> = derived.iter().collect();
    assert_eq!(different.len(), derived.len());
    assert_eq!(*s.key_pepper(), *s.key_pepper());
    assert_eq!(format!("{s:?}"), "ServerSecrets(…)");
}

#[test]
fn those_who_start_at_once_share_one_set() {
    let tmp = tempfile::tempdir().expect("a directory");
    let dir = tmp.path().join("data");
    let all: Vec<ServerSecrets> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| load(Some(&dir), &Env::new()).expect("secrets").0)).collect();
        threads.into_iter().map(|t| t.join().expect("a thread")).collect()
    });
    assert!(all.iter().all(|s| same(s, &all[0])));
}
