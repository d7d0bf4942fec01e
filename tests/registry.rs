//! One stem per function everywhere: names whichever place is missing.

use std::path::Path;

use datafusion::execution::FunctionRegistry;
use datafusion::prelude::SessionContext;

fn ours() -> Vec<String> {
    let scalars = babelake::functions::scalars().into_iter().map(|function| function.name().to_owned());
    let aggregates =
        babelake::functions::aggregates(&Default::default()).into_iter().map(|function| function.name().to_owned());
    let mut names: Vec<String> = scalars.chain(aggregates).collect();
    names.sort();
    names
}

#[test]
fn every_function_has_its_places() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let (docs, readme, bench) = (text("docs/functions.md"), text("README.md"), text("benches/functions.rs"));
    let mut missing = Vec::new();
    for name in ours() {
        let stem = name.strip_prefix("emb_").unwrap();
        let kernel = match stem {
            // One step of two that have a file each.
            "fit" => "translator",
            "similarity" => "quality",
            // What a head gives.
            "classify" | "logits" | "probabilities" => "head",
            // Text for people, a yes or no, rows as they are: no mathematics.
            "describe" | "require" | "queries" => "mod",
            stem => stem,
        };
        for (there, place) in [
            (root.join(format!("src/functions/{name}.rs")).exists(), "src/functions"),
            (root.join(format!("src/kernel/{kernel}.rs")).exists(), "src/kernel"),
            (root.join(format!("tests/slt/{name}.slt")).exists(), "tests/slt"),
            (docs.contains(&format!("\n## `{name}(")), "docs/functions.md"),
            (readme.contains(&format!("`{name}(")), "README.md"),
            (bench.contains(&format!("\"{name}\"")), "benches/functions.rs"),
        ] {
            if !there {
                missing.push(format!("{name} is missing from {place}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn no_name_hides_a_function_of_the_engine() {
    let engine = SessionContext::new();
    let names = engine.udfs().into_iter().chain(engine.udafs()).chain(engine.udwfs()).collect::<Vec<_>>();
    for name in ours() {
        assert!(!names.contains(&name), "{name} is the engine's");
    }
}
