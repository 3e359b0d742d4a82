//! The audit log verified here, exported, verified elsewhere.

use std::fs;

use crate::support::Home;

#[test]
fn the_log_is_verified_here_and_elsewhere() {
    let home = Home::signed_in();
    home.agent("claims-processor");
    home.ok(&["audit", "checkpoint"]);
    let here = home.json(&["audit", "verify"]);
    assert_eq!(here["ok"], true, "{here}");
    let (size, root) = (here["sealed"]["size"].to_string(), here["sealed"]["root"].as_str().expect("a root"));
    let seen = format!("{size}:{root}");
    home.ok(&["audit", "verify", "--expect", &seen]);
    let rolled_back = home.run(&["audit", "verify", "--expect", &format!("{size}:{}", "0".repeat(64))]);
    assert_eq!(rolled_back.code, 6, "{rolled_back:?}");

    let export = home.path("audit.jsonl");
    let file = export.to_str().expect("UTF-8");
    home.ok(&["audit", "export", "-o", file]);
    home.ok(&["down"]);
    let key = here["public_key"].as_str().expect("a key");
    let elsewhere = home.ok(&["audit", "verify", "--export", file, "--public-key", key, "--expect", &seen]);
    assert!(elsewhere.stdout.contains("intact") && elsewhere.stderr.is_empty(), "{elsewhere:?}");
    assert!(
        home.ok(&["audit", "verify", "--export", file]).stderr.contains("compare it"),
        "whose key is told"
    );
    let stranger = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(home.run(&["audit", "verify", "--export", file, "--public-key", stranger]).code, 6);

    let text = fs::read_to_string(&export).expect("exported");
    fs::write(&export, text.replacen("claims-processor", "claims-processed", 1)).expect("written");
    let broken = home.run(&["audit", "verify", "--export", file]);
    assert_eq!(broken.code, 6, "{broken:?}");
    assert!(broken.stdout.contains("BROKEN at event 2"), "{broken:?}");
    fs::write(&export, "hello").expect("written");
    assert_eq!(home.run(&["audit", "verify", "--export", file]).code, 2, "no export at all");
}
