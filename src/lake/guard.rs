//! The second look at rows before they are translated.

use crate::column::Translator;
use crate::column::describe::encoder_name;
use crate::kernel::Rows;
use crate::kernel::fingerprint::{MOST_ROWS, Resemblance};
use crate::{Error, Result};

/// Refuses rows of `column` in the table at `shown` that are clearly of another encoder than the translator's source. The first ones tell.
pub fn check_model<'r>(
    translator: &Translator,
    (shown, column): (&str, &str),
    rows: impl Iterator<Item = &'r [f32]>,
) -> Result<()> {
    let Some(fingerprint) = translator.source_fingerprint() else { return Ok(()) };
    let rows: Vec<f32> = rows.take(MOST_ROWS).flatten().copied().collect();
    let found = fingerprint.judge(Rows::new(&rows, translator.source_width));
    match found.filter(Resemblance::is_other) {
        None => Ok(()),
        Some(found) => Err(Error::Guard(format!(
            "{shown}: column `{column}`: its rows are not of the encoder that the translator is for, {}, though the width is the \
             same: {found}. Look at the lake with `babelake inspect`; --force translates them all the same",
            encoder_name(&translator.source_encoder),
        ))),
    }
}
