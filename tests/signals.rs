//! Signals and pipes that close: whatever the process is busy with, it ends as asked and leaves nothing half-written.

use std::time::{Duration, Instant};

use crate::tester::{Run, World, table};

#[test]
fn nobody_to_read_what_fit_and_describe_say_is_no_error() {
    let world = World::new();
    world.fitted(8, 8);
    for line in ["describe t.parquet", "fit --source x.parquet --target y.parquet --key id -o t.parquet --overwrite"] {
        let mut child = world.command(line).spawn().unwrap();
        drop(child.stdout.take());
        let ended: Run = child.wait_with_output().unwrap().into();
        assert_eq!((ended.code, ended.stderr.contains("panic")), (Some(0), false), "{line}: {}", ended.stderr);
    }
}

#[cfg(unix)]
#[test]
fn two_signals_end_a_query_that_keeps_every_thread_busy() {
    let world = World::new();
    world.write("x.parquet", &table(0..3000, 64, 1));
    // One fit takes minutes, and computes without a pause.
    let fit = "SELECT emb_describe(emb_fit(id, v, v, {method: 'irp', omega: 1024, delta: 0.0})) FROM x";
    let fits = vec![fit; 16].join(" UNION ALL ");
    let from = "CREATE VIEW x AS SELECT id, CAST(embedding AS FLOAT[64]) AS v FROM 'x.parquet'";
    world.file("x.sql", &format!("{from};\nCOPY (SELECT 1) TO 'begun.csv';\n{fits};"));
    let mut child = world.command("run x.sql").spawn().unwrap();
    let begin = Instant::now();
    while !world.exists("begun.csv") && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..2 {
        std::thread::sleep(Duration::from_secs(1));
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    }
    let told = Instant::now();
    while child.try_wait().unwrap().is_none() && told.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().ok();
    let ended: Run = child.wait_with_output().unwrap().into();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
}
