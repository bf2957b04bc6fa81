//! A run's settings for TensorBoard's table of runs (`plugins/hparams/plugin_data.proto`).

use toml::Value;
use vgg_tensor::protobuf::Message;

use super::event_file::seconds;
use super::summary::Summary;
use crate::config::Config;

// Numbers of fields and values in the plugin's schemas.
mod plugin {
    pub(super) const SESSION_START: u64 = 3;
    pub(super) const SESSION_END: u64 = 4;
}
mod session_start {
    pub(super) const HPARAMS: u64 = 1;
    pub(super) const SECONDS: u64 = 5;
}
mod session_end {
    pub(super) const STATUS: u64 = 1;
    pub(super) const SECONDS: u64 = 2;
    pub(super) const SUCCESS: i64 = 1;
}
mod value {
    pub(super) const NUMBER: u64 = 2;
    pub(super) const STRING: u64 = 3;
    pub(super) const BOOL: u64 = 4;
}

/// The settings of a run that starts.
pub(super) fn start(config: &Config) -> Summary {
    let entry = |message: Message, (key, value): (String, Value)| {
        let entry = Message::default().text(1, &key).message(2, to_message(&value));
        message.message(session_start::HPARAMS, entry)
    };
    let start = settings(config).into_iter().fold(Message::default(), entry);
    let start = start.double(session_start::SECONDS, seconds());
    let content = Message::default().message(plugin::SESSION_START, start);
    Summary::default().hparams("_hparams_/session_start_info", &content)
}

/// That the run has come to its end.
pub(super) fn end() -> Summary {
    let end = Message::default()
        .int(session_end::STATUS, session_end::SUCCESS)
        .double(session_end::SECONDS, seconds());
    let content = Message::default().message(plugin::SESSION_END, end);
    Summary::default().hparams("_hparams_/session_end_info", &content)
}

/// Tables that do not say how a network is trained, or on what.
const OTHERS: [&str; 3] = ["checkpoint", "guard", "report"];

/// The keys of the other tables of a config. What is in no table is the run's name.
fn settings(config: &Config) -> Vec<(String, Value)> {
    let is_other = |key: &str| match key.split_once('.') {
        Some((table, _)) => OTHERS.contains(&table),
        None => true,
    };
    config.settings().into_iter().filter(|(key, _)| !is_other(key)).collect()
}

/// As `google.protobuf.Value`; a list is its text.
fn to_message(value: &Value) -> Message {
    let message = Message::default();
    match value {
        Value::Integer(number) => message.double(value::NUMBER, *number as f64),
        Value::Float(number) => message.double(value::NUMBER, *number),
        Value::Boolean(value) => message.int(value::BOOL, i64::from(*value)),
        Value::String(text) => message.text(value::STRING, text),
        other => message.text(value::STRING, &other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_the_keys_of_a_config() {
        let config = Config::default();
        let settings = settings(&config);
        let value = |key: &str| settings.iter().find(|(it, _)| it == key).map(|(_, value)| value);
        assert_eq!(value("train.epochs"), Some(&Value::Integer(10)));
        assert_eq!(value("data.augment.flip"), Some(&Value::Boolean(false)));
        assert_eq!(value("model.arch"), Some(&Value::String("vgg11".into())));
        assert_eq!((value("name"), value("report.tensorboard")), (None, None));
        let list = to_message(&vec![0.5, 0.25].into());
        assert_eq!(list.bytes(), Message::default().text(value::STRING, "[0.5, 0.25]").bytes());
    }
}
