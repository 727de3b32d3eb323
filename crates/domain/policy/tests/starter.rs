//! The bundles to begin with: they validate over any catalog, warn of nothing and pass their own tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use interlock_policy::{Bundle, PolicySnapshot, Preset, preset_files};

#[test]
fn presets_are_usable_on_the_first_day() {
    for preset in Preset::ALL {
        let bundle = Bundle::parse(&preset_files(preset, None)).unwrap();
        for tools in [vec![], common::tools()] {
            let (_, warnings) =
                PolicySnapshot::new(&bundle, &tools).unwrap_or_else(|e| panic!("{}: {e}", preset.as_str()));
            assert_eq!(warnings, [], "{}", preset.as_str());
            let results = bundle.run_cases(&tools).unwrap();
            assert!(!results.is_empty());
            for result in results {
                assert!(result.passed(), "{}, {}: {:?}", result.file, result.name, result.differences);
            }
        }
    }
}

#[test]
fn a_failing_test_says_what_differs() {
    let mut files = preset_files(Preset::Closed, None);
    let case = r#"[{"name":"x","agent":{"id":"a","owner":"b"},"tool":"files/read","expect":{"outcome":"allow","policies":["p"],"code":"policy_error","tier":2}},
                   {"name":"y","agent":{"id":"a","owner":"b"},"tool":"no/such","expect":{"outcome":"deny"}}]"#;
    files.insert("tests/closed.json".to_owned(), case.as_bytes().to_vec());
    let manifest = interlock_policy::write_manifest(&files, 1, None);
    files.insert("manifest.json".to_owned(), manifest);
    let results = Bundle::parse(&files).unwrap().run_cases(&common::tools()).unwrap();
    let differences: Vec<&[String]> = results.iter().map(|r| &*r.differences).collect();
    assert_eq!(
        differences,
        [
            &[
                "expected allow, decided deny (no policy permits this call)".to_owned(),
                "expected code policy_error, got policy_denied".to_owned(),
                "expected tier 2, got none".to_owned(),
                "expected policies [p], got []".to_owned(),
            ][..],
            &["no approved tool is called `no/such`".to_owned()][..],
        ]
    );
}
