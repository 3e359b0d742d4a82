//! The server started, found, refused a second time, stopped.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::support::{Home, PASSWORD};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn up_says_where_and_what_next_but_never_the_admin_key() {
    let mut home = Home::new();
    let first = home.start(&[]);
    let secrets = home.path(".tappass/data/secrets.toml");
    assert!(first.stdout.contains(secrets.to_str().expect("UTF-8")), "{first:?}");
    assert!(first.stdout.contains("tappass signup") && first.stdout.contains("/v1"), "{first:?}");
    assert_eq!((mode(&secrets), mode(&home.path(".tappass/data"))), (0o600, 0o700));
    let kept = fs::read_to_string(&secrets).expect("kept");
    let admin = kept
        .lines()
        .find(|l| l.starts_with("admin_api_key"))
        .and_then(|l| l.split('"').nth(1))
        .expect("a key");
    let log = fs::read_to_string(home.path(".tappass/data/server.log")).expect("a log");
    assert!(!first.stdout.contains(admin) && !first.stderr.contains(admin) && !log.contains(admin));

    home.ok(&["down"]);
    let again = home.start(&[]);
    assert!(!again.stdout.contains("tappass signup"), "only the first time: {again:?}");
}

#[test]
fn data_outlives_the_server() {
    let mut home = Home::signed_in();
    home.agent("claims-processor");
    let down = home.ok(&["down"]);
    assert!(down.stderr.contains("the data stays"), "{down:?}");
    assert!(home.ok(&["down"]).stderr.contains("no server runs"));
    home.start(&[]);
    // The session is for the address it was made at; the port is another one now.
    home.run_with(&["login", "--email", "ciso@client.example"], PASSWORD);
    assert_eq!(home.json(&["agents", "list"])[0]["agent_id"], "claims-processor");
}

#[test]
fn a_port_in_use_names_the_process() {
    let home = Home::with_server();
    let port = home.url.rsplit(':').next().expect("a port");
    let second = home.run(&["up", "--defaults", "--port", port]);
    assert_eq!(second.code, 1, "{second:?}");
    let lock = fs::read_to_string(home.path(".tappass/data/server.lock")).expect("a lock");
    let pid = serde_json::from_str::<serde_json::Value>(&lock).expect("JSON")["pid"].to_string();
    assert!(
        second.stderr.contains(port) && second.stderr.contains(&format!("(process {pid})")),
        "{second:?}"
    );
    assert!(second.stderr.contains("`tappass`"), "{second:?}");
}

#[test]
fn a_database_file_has_one_server() {
    let home = Home::with_server();
    for arguments in [["up", "--defaults", "--port", "0"], ["up", "--background", "--port", "0"]] {
        let second = home.run(&arguments);
        assert_eq!(second.code, 1, "{second:?}");
        assert!(second.stderr.contains(&home.url) && second.stderr.contains("--data-dir"), "{second:?}");
    }
}

#[test]
fn what_keeps_a_server_from_starting_is_said() {
    let home = Home::new();
    let public = home.run(&["up", "--defaults", "--host", "0.0.0.0", "--port", "0"]);
    assert!(public.code != 0 && public.stderr.contains("TAPPASS_ADMIN_API_KEY"), "{public:?}");
    let behind = home.run(&["up", "--background", "--host", "0.0.0.0", "--port", "0"]);
    assert!(behind.code != 0 && behind.stderr.contains("TAPPASS_ADMIN_API_KEY"), "{behind:?}");
    let database = home.run(&["up", "--defaults", "--storage", "postgres", "--port", "0"]);
    assert_eq!(database.code, 2, "{database:?}");
    assert!(database.stderr.contains("DATABASE_URL"), "{database:?}");
    let file = home.path("wrong.toml");
    fs::write(&file, "[server]\nport = \"x\"\n").expect("written");
    let wrong = home.run(&["up", "--defaults", "--config", file.to_str().expect("UTF-8")]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("wrong.toml line 2"), "{wrong:?}");
}

#[test]
fn status_tells_what_mends_it_with_and_without_a_server() {
    let mut home = Home::new();
    let off = home.run(&["status", "--json"]);
    assert_eq!(off.code, 5, "{off:?}");
    let off: serde_json::Value = serde_json::from_str(&off.stdout).expect("JSON");
    assert_eq!(off["state"], "fail");
    let server =
        off["checks"].as_array().expect("checks").iter().find(|c| c["check"] == "server").expect("one");
    assert_eq!((server["state"].as_str(), server["mend"].as_str()), (Some("fail"), Some("tappass up")));

    // Someone else's program has the port.
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = other.local_addr().expect("bound").port();
    drop(std::thread::spawn(move || other.incoming().for_each(drop)));
    let held = home.run(&["--server", &format!("http://127.0.0.1:{port}"), "status"]);
    assert_eq!(held.code, 5, "{held:?}");
    assert!(held.stdout.contains(&format!("stop process {}", std::process::id())), "{held:?}");

    home.start(&["--storage", "memory"]);
    let on = home.ok(&["status"]);
    assert!(
        on.stdout.contains("storage memory") && on.stdout.contains("tappass up --storage local"),
        "{on:?}"
    );
}

#[test]
fn a_machine_without_certificate_authorities_will_do() {
    let home = Home::with_server();
    let none = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")];
    assert_eq!(home.run_in(&none, &["status"]).code, 0);
    let tls = home.run_in(&none, &["--server", "https://127.0.0.1:1", "agents", "list"]);
    assert!(tls.code == 1 && tls.stderr.contains("ca-certificates"), "{tls:?}");
    home.ok(&["down"]);
    let up = home.run_in(&none, &["up", "--background", "--port", "0"]);
    assert_eq!(up.code, 0, "{up:?}");
}
