//! A file imports only from the layers to its left; cargo forbids cycles between crates and nothing forbids them inside one.

use std::path::{Path, PathBuf};

/// Layers from left to right; those in one row may not import each other.
const LAYERS: [&[&str]; 9] = [
    &["kernel"],
    &["error"],
    &["column"],
    &["functions"],
    &["session"],
    &["lake", "pipeline"],
    &["report"],
    &["cli"],
    &["main"],
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn layer_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&name))
}

/// Names of our modules that a line mentions: after `crate::` (lists in braces included) or `babelake::`.
fn mentioned(text: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for prefix in ["crate::", "babelake::"] {
        for (at, _) in text.match_indices(prefix) {
            let rest = &text[at + prefix.len()..];
            match rest.strip_prefix('{') {
                Some(list) => {
                    let mut depth = 0;
                    let mut item = String::new();
                    for c in list.chars() {
                        match c {
                            '{' => depth += 1,
                            '}' if depth == 0 => break,
                            '}' => depth -= 1,
                            ',' if depth == 0 => names.push(word(std::mem::take(&mut item).trim())),
                            _ if depth == 0 => item.push(c),
                            _ => {}
                        }
                    }
                    names.push(word(item.trim()));
                }
                None => names.push(word(rest)),
            }
        }
    }
    names
}

#[test]
fn imports_go_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut seen = vec![false; LAYERS.len()];
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let name = first.trim_end_matches(".rs");
        if name == "lib" {
            continue;
        }
        let layer = layer_of(name).unwrap_or_else(|| panic!("{} belongs to no layer", relative.display()));
        seen[layer] = true;
        for mention in mentioned(&std::fs::read_to_string(&file).unwrap()) {
            // `crate::Error` and `crate::Result` are the error layer's.
            let other = if ["Error", "Result"].contains(&mention.as_str()) { Some(1) } else { layer_of(&mention) };
            match other {
                Some(other) if other > layer || (other == layer && mention != name && mention != "Error") => {
                    wrong.push(format!("{} imports {mention}", relative.display()));
                }
                _ => {}
            }
        }
    }
    assert!(seen.iter().all(|seen| *seen), "a layer has no files: {seen:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
