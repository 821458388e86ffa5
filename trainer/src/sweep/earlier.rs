//! Sweeps as the earlier subcommands `study` and `experiments` described them.

use toml::{Table, Value};

/// The sweep that a config of `study` (`[[networks]]` and `[[losses]]`) or of `experiments` (`[[experiment]]`) means; nothing
/// of another table.
pub(super) fn renewed(mut table: Table) -> Option<Table> {
    if table.contains_key("axis") {
        return None;
    }
    if let Some(choices) = table.remove("experiment") {
        table.insert("axis".to_owned(), Value::Array(vec![axis("experiment", choices)]));
        return Some(table);
    }
    let (networks, losses) = (table.remove("networks")?, table.remove("losses")?);
    let axes = vec![axis("network", replacing("model", networks)), axis("loss", replacing("loss", losses))];
    table.insert("axis".to_owned(), Value::Array(axes));
    table.entry("seeds").or_insert_with(|| Value::Array(vec![Value::Integer(1)]));
    table.entry("checkpoint").or_insert_with(|| "last".into());
    table.entry("columns").or_insert_with(|| "study".into());
    if let Some(sources) = table.remove("test") {
        let test = Table::from_iter([("title".to_owned(), "test".into()), ("sources".to_owned(), sources)]);
        table.insert("test".to_owned(), Value::Array(vec![test.into()]));
    }
    Some(table)
}

fn axis(name: &str, choices: Value) -> Value {
    Table::from_iter([("name".to_owned(), name.into()), ("choice".to_owned(), choices)]).into()
}

/// Entries whose table `key` took the place of the base's.
fn replacing(key: &str, mut entries: Value) -> Value {
    for entry in entries.as_array_mut().into_iter().flatten().filter_map(Value::as_table_mut) {
        if let Some(value) = entry.remove(key) {
            entry.insert("replace".to_owned(), Table::from_iter([(key.to_owned(), value)]).into());
        }
        if let Some(networks) = entry.remove("networks") {
            entry.insert("only_with".to_owned(), networks);
        }
    }
    entries
}
