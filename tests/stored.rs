//! Stored values outlive versions: a file of every format ever written is kept here and must be read.

use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use babelake::column::{Decoder, Kind, Space, Translator, describe};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn golden(name: &str) -> RecordBatch {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
    reader.build().unwrap().next().unwrap().unwrap()
}

/// Four anchors on the axes; the target's are turned by a right angle, doubled and moved to (10, 20).
#[test]
fn format_1_is_read() {
    let file = golden("stored_format_1.parquet");
    let column = |name: &str| file.column_by_name(name).unwrap().as_struct().clone();

    let source = Space::read(&column("source"), 0).unwrap().unwrap();
    assert_eq!((source.anchors.encoder.as_str(), source.anchors.width, source.rank), ("axes", 2, 2));
    let target = Space::read(&column("target"), 0).unwrap().unwrap();
    assert_eq!(
        (target.frame_name(), target.anchors.scale, target.anchors.keys.display(0)),
        ("parseval", 2.0, "'1'".into())
    );
    let decoder = Decoder::read(&column("decoder"), 0).unwrap().unwrap();
    assert_eq!((decoder.method.as_str(), decoder.anchors(), &decoder.mean[..]), ("irp", 4, &[10.0, 20.0][..]));

    let translator = Translator::read(&column("translator"), 0).unwrap().unwrap();
    let mut out = [0.0; 2];
    translator.translation().apply(1, |_| Some(&[3.0, 4.0]), &mut Default::default(), &mut out).unwrap();
    assert!((out[0] - 8.4).abs() < 1e-5 && (out[1] - 21.2).abs() < 1e-5, "{out:?}");

    for (name, kind) in [("source", Kind::Space), ("decoder", Kind::Decoder), ("translator", Kind::Translator)] {
        let column = column(name);
        assert_eq!(Kind::of(column.data_type()), Some(kind));
        assert!(describe(kind, &column, 0).unwrap().contains(&format!("kind: {}", kind.name())));
    }
}
