//! L0 knows no runtime, clock, randomness, file, socket, metric or log: not in code outside tests.

use crate::code::{code_only, lines_with, without_tests};
use crate::report::Report;
use crate::workspace::{File, Package};

/// Finds `words` in the sources of `package`, which is one of L0.
pub(crate) fn check(words: &[String], package: &Package, files: &[File], report: &mut Report) {
    let sources = format!("{}/src/", package.directory);
    let shipped = files.iter().filter(|file| {
        file.path.starts_with(&sources)
            && file.path.ends_with(".rs")
            && !file.path.ends_with("/tests.rs")
            && !file.path.contains("/tests/")
    });
    for file in shipped {
        let code = code_only(&file.text);
        let code = without_tests(&code);
        for word in words {
            for line in lines_with(code, word) {
                report.find(
                    &file.path,
                    line,
                    format!("{word} in L0"),
                    "take the data, or the time, as an argument",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_code_is_found_and_tests_are_not() {
        let package = Package {
            name: "model".into(),
            manifest: "crates/model/Cargo.toml".into(),
            manifest_text: String::new(),
            directory: "crates/model".into(),
            dependencies: Vec::new(),
        };
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files = [
            file(
                "crates/model/src/a.rs",
                "// std::fs\nuse std::fs;\n#[cfg(test)]\nmod tests {\n use std::fs; }\n",
            ),
            file("crates/model/src/tests/b.rs", "use std::fs;"),
            file("crates/wire/src/c.rs", "use std::fs;"),
        ];
        let mut report = Report::default();
        check(&["std::fs".to_owned()], &package, &files, &mut report);
        assert_eq!(report.findings().len(), 1, "{report}");
        assert!(report.findings()[0].starts_with("crates/model/src/a.rs:2: std::fs in L0"), "{report}");
    }
}
