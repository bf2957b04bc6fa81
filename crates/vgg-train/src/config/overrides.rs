//! Values that beat the file: `--set`, other options, environment variables.

use toml::{Table, Value};

/// One key with a value that beats the file's.
#[derive(Clone, Debug)]
pub(crate) struct Override {
    /// What the user wrote, or which option or variable it is, for messages.
    pub origin: String,
    /// The key, with dots between tables: `train.epochs`.
    pub key: String,
    pub value: Value,
}

impl Override {
    /// From an option or environment variable of its own.
    pub(crate) fn new(origin: &str, key: &str, value: impl Into<Value>) -> Self {
        Self { origin: origin.into(), key: key.into(), value: value.into() }
    }

    /// From the argument of `--set`: `KEY=VALUE`, where the quotes of a string may be left out.
    pub(crate) fn parse(argument: &str) -> Result<Self, String> {
        let (key, value) =
            argument.split_once('=').ok_or("expected KEY=VALUE, as in train.epochs=2")?;
        let (key, value) = (key.trim(), value.trim());
        if key.split('.').any(str::is_empty) {
            return Err(format!("`{key}` is not a key; a key looks like train.epochs"));
        }
        let parsed = toml::from_str::<Table>(&format!("value = {value}"));
        // More than one key: lines after the value, which would be lost.
        if parsed.as_ref().is_ok_and(|table| table.len() > 1) {
            return Err("one --set sets one key: there are lines after its value".into());
        }
        let value = match parsed.ok().and_then(|mut table| table.remove("value")) {
            Some(parsed) => parsed,
            None if value.parse::<i64>().is_ok() => {
                return Err(format!("{value} is no number of TOML's, which do not begin with 0"));
            }
            // No string, although it is no number of TOML's.
            None if value.parse::<i128>().is_ok() => {
                return Err(format!("{value} is too large: whole numbers go up to {}", i64::MAX));
            }
            None => Value::String(value.into()),
        };
        Ok(Self { origin: format!("--set {argument}"), key: key.into(), value })
    }

    /// Writes the value into `table`, making inner tables where there are none.
    ///
    /// Returns the key of a value that stands where a table would have to be.
    pub(crate) fn apply(&self, table: &mut Table) -> Result<(), String> {
        let mut table = table;
        let (tables, last) = self.key.rsplit_once('.').unwrap_or(("", &self.key));
        for key in tables.split('.').filter(|key| !key.is_empty()) {
            let inner = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
            table = inner.as_table_mut().ok_or(key)?;
        }
        table.insert(last.into(), self.value.clone());
        Ok(())
    }
}

/// Whether overrides leave it at that missing files may be fetched.
pub(crate) fn may_download(overrides: &[Override]) -> bool {
    flag(overrides, "data.download").unwrap_or(true)
}

/// What overrides say of a key that is true or false, if they say anything.
pub(crate) fn flag(overrides: &[Override], key: &str) -> Option<bool> {
    overrides.iter().rev().find(|set| set.key == key)?.value.as_bool()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml_and_strings_need_no_quotes() {
        let parse = |argument| Override::parse(argument).map(|set| (set.key, set.value));
        assert_eq!(parse("train.epochs=2"), Ok(("train.epochs".into(), 2.into())));
        assert_eq!(parse("optimizer.lr = 0.1"), Ok(("optimizer.lr".into(), 0.1.into())));
        assert_eq!(parse("name=a=b"), Ok(("name".into(), "a=b".into())));
        assert_eq!(parse("name=\"a b\""), Ok(("name".into(), "a b".into())));
        assert_eq!(parse("data.mean=[0.5]"), Ok(("data.mean".into(), vec![0.5].into())));
        assert!(parse("train.epochs").unwrap_err().contains("KEY=VALUE"));
        assert!(parse("train..epochs=1").unwrap_err().contains("is not a key"));
        assert!(parse("=1").is_err());
        assert!(parse("train.seed=9223372036854775807").is_ok());
        assert!(parse("train.epochs=01").unwrap_err().starts_with("01 is no number of TOML's"));
        let lines = parse("train.epochs=2\nseed=4").unwrap_err();
        assert_eq!(lines, "one --set sets one key: there are lines after its value");
        let error = parse("train.seed=9223372036854775808").unwrap_err();
        assert!(error.ends_with("is too large: whole numbers go up to 9223372036854775807"));
    }

    #[test]
    fn inner_tables_are_made_and_values_are_not_tables() {
        let mut table = Table::new();
        Override::parse("a.b.c=1").unwrap().apply(&mut table).unwrap();
        assert_eq!(table.to_string(), "[a.b]\nc = 1\n");
        assert_eq!(Override::parse("a.b.c.d=1").unwrap().apply(&mut table), Err("c".into()));
    }
}
