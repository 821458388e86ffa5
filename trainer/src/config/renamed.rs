//! Keys of earlier configs, brought to where they stand now.

use toml::{Table, Value};

/// Table and key of earlier configs, and the key of `[export]` that took its place.
const MOVED_TO_EXPORT: [(&str, &str, &str); 5] = [
    ("input", "export_longest_side", "longest_side"),
    ("input", "export_stretch", "stretch"),
    ("input", "larger_side", "tta_long_side"),
    ("output", "cleanup", "cleanup"),
    ("output", "settling", "small_regions"),
];

/// Brings the keys of earlier configs to their present places. Tells whether there were any; an error names a key that is
/// there twice.
pub(crate) fn renew(config: &mut Table) -> Result<bool, String> {
    let mut is_renewed = false;
    for (table, key, now) in MOVED_TO_EXPORT {
        let Some(Value::Table(earlier)) = config.get_mut(table) else { continue };
        let Some(value) = earlier.remove(key) else { continue };
        // The table [output] had no other keys.
        if earlier.is_empty() && table == "output" {
            config.remove(table);
        }
        is_renewed = true;
        let export = config.entry("export").or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(export) = export else { return Err("`export` must be a table".to_owned()) };
        if export.insert(now.to_owned(), value).is_some() {
            return Err(format!(
                "`{table}.{key}` is the earlier name of `export.{now}`, which is there, too; remove it"
            ));
        }
    }
    Ok(is_renewed)
}
