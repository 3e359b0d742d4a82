//! `tappass init` without a terminal; with one: `sdk/python/tests/test_init.py`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tappass_model::{Clock as _, SystemClock};
use tappass_testkit::authenticator::code;

use crate::support::{Ended, Home, PASSWORD, ended};

/// In a directory of its own, as in a program's.
fn init(home: &Home, more: &[&str]) -> Ended {
    let work = home.path("claims");
    fs::create_dir_all(&work).expect("a directory");
    ended(home.command(&[&["init"], more].concat()).current_dir(work).output().expect("it runs"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("reads")
}

/// What a `.env` says of a name.
fn value(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_default().to_owned()
}

#[test]
fn nothing_is_asked_and_nothing_is_made_twice() {
    let home = Home::with_server();
    let first = init(&home, &["--defaults"]);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.stderr.contains("an account was made: admin@localhost"), "{first:?}");
    assert!(first.stderr.contains("claims is registered: pipeline starter, mode observe"), "{first:?}");
    let file = home.path("claims/.env");
    let text = read(&file);
    assert_eq!(
        (value(&text, "TAPPASS_URL"), value(&text, "TAPPASS_AGENT_ID")),
        (home.url.clone(), "claims".to_owned())
    );
    let key = value(&text, "TAPPASS_API_KEY");
    assert!(
        key.starts_with("tp_") && !first.stdout.contains(&key) && !first.stderr.contains(&key),
        "{first:?}"
    );
    for private in [&file, &home.path(".tappass/config.toml")] {
        assert_eq!(fs::metadata(private).expect("there").permissions().mode() & 0o777, 0o600, "{private:?}");
    }
    // The key opens, and the sign-in is kept.
    assert_eq!(home.run_in(&[("TAPPASS_API_KEY", &key)], &["chat", "say: hello"]).stdout, "hello\n");
    assert_eq!(home.json(&["agents", "list"]).as_array().map(Vec::len), Some(1));

    let again = init(&home, &["--defaults"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stderr.contains("claims is there: pipeline starter"), "{again:?}");
    assert!(again.stderr.contains(".env is as it should be") && read(&file) == text, "{again:?}");

    // Lines of others stay, a key that opens nothing is replaced, a preset that is asked for is taken.
    fs::write(&file, format!("# mine\n{}\nOTHER=1", text.replace(&key, "tp_gone"))).expect("written");
    let mended = init(&home, &["--defaults", "--preset", "finance"]);
    assert_eq!(mended.code, 0, "{mended:?}");
    assert!(mended.stderr.contains("its pipeline is finance now, it was starter"), "{mended:?}");
    assert!(mended.stderr.contains("a new key was made for claims"), "{mended:?}");
    let new = read(&file);
    assert!(new.starts_with("# mine\n") && new.ends_with("OTHER=1\n"), "{new}");
    assert!(value(&new, "TAPPASS_API_KEY").starts_with("tp_") && !new.contains("tp_gone"), "{new}");
    assert_eq!(home.json(&["agents", "list"]).as_array().map(Vec::len), Some(1));

    // Signed out, it signs in by what it is given; somebody else's password does not.
    home.ok(&["logout"]);
    let wrong = home.run_with(
        &["init", "--defaults", "--email", "admin@localhost", "--server", "http://127.0.0.1:1"],
        PASSWORD,
    );
    assert_eq!(wrong.code, 5, "{wrong:?}");
}

#[test]
fn a_script_says_who_it_is() {
    let home = Home::signed_in();
    let path = home.path("x.env");
    let file = path.display().to_string();
    let arguments =
        ["init", "--defaults", "--email", "ciso@client.example", "--agent", "bot", "--env-file", &file];
    home.ok(&["logout"]);
    // The admin key of this machine would do: as if it were another machine.
    fs::rename(home.path(".tappass/data/secrets.toml"), home.path("elsewhere")).expect("moved");
    let wrong = home.run_with(&arguments, "another battery staple\n");
    assert_eq!(wrong.code, 4, "{wrong:?}");
    assert!(!path.exists());
    let right = home.run_with(&arguments, PASSWORD);
    fs::rename(home.path("elsewhere"), home.path(".tappass/data/secrets.toml")).expect("moved");
    assert_eq!(right.code, 0, "{right:?}");
    assert!(
        right.stderr.contains("signed in to") && right.stderr.contains("organisation Client"),
        "{right:?}"
    );
    assert_eq!(value(&read(&path), "TAPPASS_AGENT_ID"), "bot");
    assert_eq!(home.json(&["agents", "list"])[0]["agent_id"], "bot");
}

#[test]
fn who_has_a_second_factor_is_asked_for_its_code() {
    let home = Home::signed_in();
    let secret = enrolled(&home);
    home.ok(&["logout"]);
    // The admin key of this machine would do: as if it were another machine.
    fs::rename(home.path(".tappass/data/secrets.toml"), home.path("elsewhere")).expect("moved");
    let file = home.path("x.env").display().to_string();
    let arguments = ["init", "--defaults", "--email", "ciso@client.example", "--env-file", &file];
    let asked = home.run_with(&arguments, PASSWORD);
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(asked.stderr.contains("code of the app, or a recovery code is empty"), "{asked:?}");
    let wrong = home.run_with(&arguments, &format!("{PASSWORD}no code\n"));
    assert_eq!(wrong.code, 4, "{wrong:?}");
    // The code of the next half minute: the one of now may have been taken when the factor was set up.
    let next = code(&secret, SystemClock.now() + Duration::from_secs(30));
    let right = home.run_with(&arguments, &format!("{PASSWORD}{next}\n"));
    fs::rename(home.path("elsewhere"), home.path(".tappass/data/secrets.toml")).expect("moved");
    assert_eq!(right.code, 0, "{right:?}");
    assert!(right.stderr.contains("signed in to") && right.stderr.contains("is registered"), "{right:?}");
    let off = home.run_with(&["account", "2fa", "disable"], PASSWORD);
    assert_eq!(off.code, 0, "{off:?}");
    assert_eq!(home.json(&["account", "2fa", "status"])["enabled"], false);
}

/// Sets a second factor up, as somebody with an authenticator app does; gives the app's secret.
fn enrolled(home: &Home) -> String {
    let pipe = Stdio::piped;
    let mut child =
        home.command(&["account", "2fa", "enrol"]).stdin(pipe()).stdout(pipe()).spawn().expect("it runs");
    let mut keyboard = child.stdin.take().expect("a pipe");
    let mut screen = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    keyboard.write_all(PASSWORD.as_bytes()).expect("it reads");
    let secret = screen.next().expect("a line").expect("the secret");
    assert!(screen.next().expect("a line").expect("the address").starts_with("otpauth://totp/"));
    writeln!(keyboard, "{}", code(&secret, SystemClock.now())).expect("it reads");
    let codes: Vec<String> = screen.map(|line| line.expect("a recovery code")).collect();
    assert_eq!(codes.len(), 10);
    assert!(child.wait().expect("it ends").success());
    assert_eq!(home.json(&["account", "2fa", "status"])["recovery_codes_left"], 10);
    secret
}

#[test]
fn what_cannot_be_is_said_before_anything_is_done() {
    let home = Home::with_server();
    let asked = init(&home, &[]);
    assert_eq!((asked.code, asked.stdout.as_str()), (2, ""), "{asked:?}");
    assert!(asked.stderr.contains("say --defaults"), "{asked:?}");
    let target = home.path("elsewhere");
    fs::write(&target, "untouched").expect("written");
    fs::create_dir_all(home.path("claims")).expect("a directory");
    symlink(&target, home.path("claims/.env")).expect("linked");
    let linked = init(&home, &["--defaults"]);
    assert_eq!(linked.code, 2, "{linked:?}");
    assert!(linked.stderr.contains("link") && read(&target) == "untouched", "{linked:?}");
    fs::remove_file(home.path("claims/.env")).expect("removed");
    let unknown = init(&home, &["--defaults", "--preset", "no-such"]);
    assert_ne!(unknown.code, 0, "{unknown:?}");
    assert!(unknown.stderr.contains("no-such") && !home.path("claims/.env").exists(), "{unknown:?}");
    let away = init(&home, &["--defaults", "--server", "http://tappass.invalid:1"]);
    assert_eq!(away.code, 2, "{away:?}");
    assert!(away.stderr.contains("--email"), "{away:?}");
}
