//! Every test that `docs/promises.md` names is there.

use crate::read;

#[test]
fn every_test_that_is_named_is_there() {
    let document = read("docs/promises.md");
    let names = document.split('`').filter_map(|word| word.split_once(".rs::"));
    let mut count = 0;
    for (file, test) in names {
        let source = read(format!("{file}.rs"));
        assert!(source.contains(&format!("fn {test}(")), "docs/promises.md: {file}.rs has no test {test}");
        count += 1;
    }
    assert!(count > 40, "only {count} tests are named");
}
