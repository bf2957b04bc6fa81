//! What values a config may have.

use std::fmt::Display;

use super::Config;

/// Bytes of a run's name: a folder's, with a number, has at most 255.
const LONGEST_NAME: usize = 200;

pub(super) fn at_least_one(n: u64) -> Option<String> {
    (n == 0).then(|| format!("must be at least 1, not {n}"))
}

fn at_most<T: PartialOrd + Display>(n: T, most: T) -> Option<String> {
    (n > most).then(|| format!("must be at most {most}, not {n}"))
}

pub(super) fn positive(x: f64) -> Option<String> {
    match x > 0.0 {
        true => in_f32(x),
        false => Some(format!("must be a number above 0, not {x}")),
    }
}

pub(super) fn not_negative(x: f64) -> Option<String> {
    match x >= 0.0 {
        true => in_f32(x),
        false => Some(format!("must be a number from 0 on, not {x}")),
    }
}

fn share(x: f64) -> Option<String> {
    match (0.0..1.0).contains(&x) {
        // What is nearly 1 is rounded to it.
        true if x as f32 == 1.0 => {
            Some(format!("must be at most {}, not {x}", 1.0_f32.next_down()))
        }
        true => in_f32(x),
        false => Some(format!("must be from 0 to below 1, not {x}")),
    }
}

/// A number that is not 0 stays one where it is computed with: in 32 bits, without denormals.
pub(super) fn in_f32(x: f64) -> Option<String> {
    let (least, most) = (f32::MIN_POSITIVE, f32::MAX);
    (x != 0.0 && !(x as f32).is_normal()).then(|| {
        format!("must be from {least:.1e} to {most:.1e} or 0, as it is kept in 32 bits, not {x:e}")
    })
}

impl Config {
    /// The first value out of its limits: its key, and what is wrong with it.
    pub(super) fn out_of_limits(&self) -> Option<(&'static str, String)> {
        let name_is_folder =
            (1..=LONGEST_NAME).contains(&self.name.len()) && !self.name.contains(['/', '\\', '\0']);
        let Self { model, init, data, train, optimizer, schedule, checkpoint, device, .. } = self;
        [
            (
                "name",
                (!name_is_folder || self.name.starts_with('.'))
                    .then(|| format!("must be a folder name, not {:?}", self.name)),
            ),
            ("model.width", positive(model.width)),
            (
                "model.image_size",
                (model.image_size < model.arch.min_side()).then(|| {
                    let (arch, least, size) = (model.arch, model.arch.min_side(), model.image_size);
                    format!(
                        "must be at least {least} for {arch}, whose pools shrink it, not {size}"
                    )
                }),
            ),
            (
                "model.image_size",
                (!model.image_size.is_multiple_of(model.arch.side_multiple())).then(|| {
                    let (arch, multiple) = (model.arch, model.arch.side_multiple());
                    format!("must be a multiple of {multiple} for {arch}, not {}", model.image_size)
                }),
            ),
            ("model.avg_pool", model.avg_pool.and_then(|side| at_least_one(side as u64))),
            ("model.fc_width", at_least_one(model.fc_width as u64)),
            ("model.dropout", share(model.dropout)),
            ("init.std", positive(init.std)),
            ("train.epochs", at_least_one(train.epochs)),
            ("train.epochs", at_most(train.epochs, 1_000_000)),
            ("train.batch_size", at_least_one(train.batch_size as u64)),
            ("train.accumulate", at_least_one(train.accumulate as u64)),
            ("train.accumulate", at_most(train.accumulate, train.batch_size)),
            ("train.label_smoothing", share(train.label_smoothing)),
            ("optimizer.lr", positive(optimizer.lr)),
            ("optimizer.momentum", share(optimizer.momentum)),
            ("optimizer.weight_decay", not_negative(optimizer.weight_decay)),
            (
                "optimizer.nesterov",
                (optimizer.nesterov && optimizer.momentum == 0.0)
                    .then(|| "needs a momentum above 0".to_owned()),
            ),
            ("optimizer.clip_norm", optimizer.clip_norm.and_then(positive)),
            ("optimizer.average_decay", optimizer.average_decay.and_then(share)),
            ("schedule.patience", at_least_one(schedule.patience)),
            ("schedule.every_epochs", at_least_one(schedule.every_epochs)),
            ("schedule.factor", positive(schedule.factor)),
            ("schedule.factor", at_most(schedule.factor, 1.0)),
            ("schedule.min_lr", not_negative(schedule.min_lr)),
            ("checkpoint.every_minutes", positive(checkpoint.every_minutes)),
            ("checkpoint.every_minutes", at_most(checkpoint.every_minutes, 1e6)),
            ("device.threads", at_most(device.threads, 1024)),
        ]
        .into_iter()
        .find_map(|(key, problem)| Some((key, problem?)))
        .or_else(|| data.out_of_limits(model.image_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_checked_as_they_are_computed_with() {
        for x in [1e-50, 1e-40, 1e39, f64::INFINITY] {
            assert!(positive(x).is_some() && not_negative(x).is_some(), "{x}");
        }
        for x in [-1.0, f64::NAN] {
            assert!(positive(x).is_some() && not_negative(x).is_some() && share(x).is_some());
        }
        assert!(positive(0.0).is_some() && not_negative(0.0).is_none() && share(0.0).is_none());
        for x in [1.2e-38, 0.05, 3.4e38] {
            assert_eq!((positive(x), not_negative(x)), (None, None), "{x}");
        }
        assert_eq!(share(0.9999), None);
        assert_eq!(share(0.999_999_99).unwrap(), "must be at most 0.99999994, not 0.99999999");
        let said = "must be from 1.2e-38 to 3.4e38 or 0, as it is kept in 32 bits, not 1e-50";
        assert_eq!(share(1e-50).unwrap(), said);
    }
}
