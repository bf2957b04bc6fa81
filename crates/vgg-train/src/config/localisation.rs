//! What a config needs to locate objects, and what has no place in it then.

use super::best::BestBy;
use super::data::DatasetName;
use super::keys::{Config, TaskName};

impl Config {
    /// The first key that the task has no use for, or that it needs: the key, and what is wrong with it.
    pub(super) fn of_other_task(&self) -> Option<(&'static str, String)> {
        let check = match self.model.task {
            TaskName::Classification => self.of_localisation().to_vec(),
            TaskName::Localisation => self.of_classification().to_vec(),
        };
        check.into_iter().find_map(|(key, problem)| Some((key, problem?)))
    }

    /// Keys of localisation alone.
    fn of_localisation(&self) -> [(&'static str, Option<String>); 4] {
        let problem =
            |given: bool| given.then(|| "is for model.task = \"localisation\" alone".to_owned());
        [
            ("model.boxes", problem(self.model.boxes.is_some())),
            ("data.boxes", problem(self.data.boxes.is_some())),
            ("data.first_pixel", problem(self.data.first_pixel.is_some())),
            ("data.boxes_sha256", problem(self.data.boxes_sha256.is_some())),
        ]
    }

    /// Keys that boxes need, or that nothing is known of what they would do to boxes.
    fn of_classification(&self) -> [(&'static str, Option<String>); 9] {
        let (data, train, augment) = (&self.data, &self.train, &self.data.augment);
        let has_boxes = data.is_folder() || data.dataset == DatasetName::None;
        let no_folder = (!has_boxes).then(|| {
            "must be \"image-folder\" where objects are located: a pack has no boxes".to_owned()
        });
        let no_boxes = (data.is_folder() && data.boxes.is_none()).then(|| {
            "= \"localisation\" needs data.boxes, where the objects in images are".to_owned()
        });
        let unknown_best = (!matches!(train.best_by, BestBy::Accuracy | BestBy::Loss))
            .then(|| "must be \"accuracy\" or \"loss\" where objects are located".to_owned());
        let no_box_follows = |given: bool| {
            given
                .then(|| "must be left out where objects are located: no box follows it".to_owned())
        };
        let of_classes = |given: bool| {
            given.then(|| {
                "is for classes, and must be left out where objects are located".to_owned()
            })
        };
        [
            ("data.dataset", no_folder),
            ("model.task", no_boxes),
            ("train.best_by", unknown_best),
            ("train.label_smoothing", of_classes(train.label_smoothing != 0.0)),
            ("train.class_weights", of_classes(train.class_weights.is_some())),
            ("data.augment.mixup", no_box_follows(augment.mixup > 0.0)),
            ("data.augment.cutmix", no_box_follows(augment.cutmix > 0.0)),
            ("data.augment.rand_augment", no_box_follows(augment.rand_augment.is_some())),
            ("data.augment.trivial_augment_wide", no_box_follows(augment.trivial_augment_wide)),
        ]
    }
}
