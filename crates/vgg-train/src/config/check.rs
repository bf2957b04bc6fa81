//! What values a config may have.

use vgg_model::VggConfig;
use vgg_tensor::ranks::Shards;

use super::class_weights::ClassWeights;
use super::data::Sampler;
use super::keys::{Config, Group, Optimizer, OptimizerKind, ScheduleKind};
use super::limits::{at_least_one, at_most, not_negative, positive, share};

/// Bytes of a run's name: a folder's, with a number, has at most 255.
const LONGEST_NAME: usize = 200;

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
            ("model.arch", model.arch.problem().map(str::to_owned)),
            ("model.width", positive(model.width)),
            (
                "model.image_size",
                (model.image_size < model.arch.min_side()).then(|| {
                    let (arch, least, size) =
                        (&model.arch, model.arch.min_side(), model.image_size);
                    format!(
                        "must be at least {least} for {arch}, whose pools shrink it, not {size}"
                    )
                }),
            ),
            (
                "model.image_size",
                (!model.image_size.is_multiple_of(model.arch.side_multiple())).then(|| {
                    let (arch, multiple) = (&model.arch, model.arch.side_multiple());
                    format!("must be a multiple of {multiple} for {arch}, not {}", model.image_size)
                }),
            ),
            ("model.avg_pool", model.avg_pool.and_then(|side| at_least_one(side as u64))),
            ("model.fc_width", at_least_one(model.fc_width as u64)),
            ("model.fc_hidden", at_most(model.fc_hidden, VggConfig::MAX_FC_HIDDEN)),
            ("model.dropout", share(model.dropout)),
            ("init.std", positive(init.std)),
            ("init.from", self.unknown_start()),
            (
                "init.from_sha256",
                (init.from_sha256.is_some() && !self.starts_by_name())
                    .then(|| "is for weights that init.from names".to_owned()),
            ),
            ("train.epochs", at_least_one(train.epochs)),
            ("train.epochs", at_most(train.epochs, 1_000_000)),
            ("train.batch_size", at_least_one(train.batch_size as u64)),
            ("train.accumulate", at_least_one(train.accumulate as u64)),
            ("train.accumulate", at_most(train.accumulate, train.batch_size)),
            ("train.shards", at_least_one(train.shards as u64)),
            ("train.shards", at_most(train.shards, Shards::MOST)),
            (
                "train.shards",
                (train.shards > 1 && train.accumulate > 1).then(|| {
                    "takes the place of train.accumulate: each shard passes by itself".to_owned()
                }),
            ),
            (
                "device.autotune",
                (train.shards > 1 && device.autotune).then(|| {
                    "chooses by time, which differs from rank to rank: with train.shards all must \
                     compute alike"
                        .to_owned()
                }),
            ),
            ("train.label_smoothing", share(train.label_smoothing)),
            (
                "train.class_weights",
                train.class_weights.iter().flat_map(|it| it.given()).find_map(|x| {
                    let large = (*x > 1e9).then(|| format!("must be at most 1e9, not {x}"));
                    positive(*x).or(large)
                }),
            ),
            (
                "train.class_weights",
                (train.class_weights == Some(ClassWeights::Balanced)
                    && data.sampler == Sampler::Balanced)
                    .then(|| "evens out what data.sampler has evened out already".to_owned()),
            ),
            (
                "train.early_stop.patience",
                train.early_stop.and_then(|early_stop| at_least_one(early_stop.patience)),
            ),
            (
                "train.early_stop.delta",
                train.early_stop.and_then(|early_stop| not_negative(early_stop.delta)),
            ),
            ("train.max_minutes", train.max_minutes.and_then(positive)),
            ("train.max_minutes", train.max_minutes.and_then(|minutes| at_most(minutes, 1e6))),
            ("optimizer.lr", positive(optimizer.lr)),
            ("optimizer.momentum", share(optimizer.momentum)),
            ("optimizer.weight_decay", not_negative(optimizer.weight_decay)),
            ("optimizer.nesterov", optimizer.only_for(optimizer.nesterov, OptimizerKind::Sgd)),
            (
                "optimizer.nesterov",
                (optimizer.nesterov && optimizer.momentum == 0.0)
                    .then(|| "needs a momentum above 0".to_owned()),
            ),
            (
                "optimizer.momentum",
                optimizer.only_for(optimizer.momentum != 0.0, OptimizerKind::Sgd),
            ),
            (
                "optimizer.betas",
                optimizer.only_for(optimizer.betas.is_some(), OptimizerKind::Adamw),
            ),
            ("optimizer.betas", optimizer.betas.into_iter().flatten().find_map(share)),
            ("optimizer.eps", optimizer.only_for(optimizer.eps.is_some(), OptimizerKind::Adamw)),
            ("optimizer.eps", optimizer.eps.and_then(positive)),
            ("optimizer.clip_norm", optimizer.clip_norm.and_then(positive)),
            ("optimizer.average_decay", optimizer.average_decay.and_then(share)),
            ("optimizer.groups", optimizer.groups.iter().find_map(Group::out_of_limits)),
            ("schedule.patience", at_least_one(schedule.patience)),
            ("schedule.every_epochs", at_least_one(schedule.every_epochs)),
            ("schedule.factor", positive(schedule.factor)),
            ("schedule.factor", at_most(schedule.factor, 1.0)),
            ("schedule.min_lr", not_negative(schedule.min_lr)),
            ("schedule.rise", positive(schedule.rise)),
            ("schedule.rise", share(schedule.rise)),
            ("schedule.warmup_share", share(schedule.warmup_share)),
            (
                "schedule.warmup_share",
                (schedule.warmup_share > 0.0 && schedule.warmup_steps > 0).then(|| {
                    "and schedule.warmup_steps say the same: one of them must be 0".to_owned()
                }),
            ),
            (
                "schedule.warmup_share",
                (schedule.kind == ScheduleKind::OneCycle && schedule.warmup_share > 0.0)
                    .then(|| "must be 0, as one cycle rises by itself".to_owned()),
            ),
            (
                "schedule.warmup_steps",
                (schedule.kind == ScheduleKind::OneCycle && schedule.warmup_steps > 0)
                    .then(|| "must be 0, as one cycle rises by itself".to_owned()),
            ),
            ("checkpoint.every_minutes", positive(checkpoint.every_minutes)),
            ("checkpoint.every_minutes", at_most(checkpoint.every_minutes, 1e6)),
            ("device.threads", at_most(device.threads, 1024)),
        ]
        .into_iter()
        .find_map(|(key, problem)| Some((key, problem?)))
        .or_else(|| data.out_of_limits(model.image_size))
        .or_else(|| self.of_other_task())
    }
}

impl Optimizer {
    /// What is wrong with a key, if it is given, of another kind of optimiser.
    fn only_for(&self, given: bool, kind: OptimizerKind) -> Option<String> {
        let problem =
            || format!("is for optimizer.kind = {:?}, not {:?}", kind.name(), self.kind.name());
        (given && self.kind != kind).then(problem)
    }
}

impl Group {
    /// What is wrong with it.
    fn out_of_limits(&self) -> Option<String> {
        let Self { layers, lr, weight_decay } = self;
        let own = |key, problem: Option<String>| Some(format!("of {layers}: {key} {}", problem?));
        let has_nothing = *lr == 1.0 && weight_decay.is_none();
        let nothing = format!("of {layers} need an lr or a weight_decay of their own");
        own("lr", positive(*lr))
            .or_else(|| own("weight_decay", weight_decay.and_then(not_negative)))
            .or_else(|| has_nothing.then_some(nothing))
    }
}
