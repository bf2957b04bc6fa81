//! Where a network that locates sees objects in image files.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use vgg_data::boxes::BoundingBox;
use vgg_data::{Decoding, Images, Moment, Transform};
use vgg_model::{Checkpoint, Regression, Task};

use super::{Format, PredictRequest, paths, pictures_in, print_row};
use crate::config::{self, Override};
use crate::data;
use crate::drawing::outlines::outlined;
use crate::failure::{Code, Failure};
use crate::machine::device;
use crate::passes::classify::{Tally, class_names, rank, unreadable};
use crate::passes::given::{Given, Show};
use crate::passes::outputs::{Window, box_of};
use crate::run::checkpoints;
use crate::scores::posteriors::Posteriors;
use crate::terminal::print;
use crate::terminal::ui::Ui;

/// Of the CSV.
const COLUMNS: [&str; 7] = ["file", "class", "probability", "x0", "y0", "x1", "y1"];

/// A class, how probable it is, and where its object is, in the image's pixels; nothing if the network's
/// numbers are no box.
struct Told {
    /// Its number and name, where a network says it.
    class: Option<(usize, String, f32)>,
    bounds: Option<BoundingBox>,
}

/// `predict RUN FILES…` of a run that locates, whose network is `checkpoint`, of the file `path`.
pub(super) fn command(
    request: &PredictRequest<'_>,
    path: &Path,
    checkpoint: Checkpoint,
    overrides: &[Override],
    ui: &Ui,
) -> Result<()> {
    let device = &config::device(overrides)?;
    refuse(request, checkpoint.vgg.task)?;
    let classifier = request.classifier.map(|run| {
        let download = config::may_download(overrides);
        let path = checkpoints::network(run, request.network.checkpoint, download, ui)?;
        let own = checkpoints::classifier(&path)?;
        checkpoints::require_classes(&own, &checkpoint.classes, "the run that locates", &path)?;
        let (input, transform) = data::prediction(run, &own)?;
        anyhow::Ok((own, data::decoding(&input), transform))
    });
    let mut classifier = classifier.transpose()?;
    let separator = if request.null { b'\0' } else { b'\n' };
    let mut files = paths::files(request.files, separator);
    let pictures = pictures_in(request.draw, &mut files, path)?;
    let (input, transform) = data::prediction(request.run, &checkpoint)?;
    ui.status("Input", &data::describe(&input, checkpoint.vgg.input));
    let boxes = Boxes {
        task: checkpoint.vgg.task,
        names: class_names(&checkpoint),
        top: request.top,
        transform: &transform,
    };
    let mut tally = Tally::default();
    let mut found = tally.next(&mut files, ui);
    if request.format == Format::Csv {
        print_row(COLUMNS.to_vec())?;
    }
    let pass = |tally: &mut Tally, file: &Path, reason: &str| {
        tally.pass(reason, ui);
        request.format.tell_unreadable(file, reason, COLUMNS.len())
    };
    let (most, mut place) = (found.len(), 0);
    let mut locate = |show: &mut Show<'_>, mut classify: Option<(&mut Show<'_>, Decoding)>| {
        while !found.is_empty() {
            let images = Images::from_files(&found, data::decoding(&input));
            let numbers = show(&images)?;
            let logits = match &mut classify {
                Some((show, decoding)) => Some(show(&Images::from_files(&found, *decoding))?),
                None => None,
            };
            for (i, (file, numbers)) in found.iter().zip(numbers).enumerate() {
                let logits = logits.as_ref().map(|each| each[i].as_deref()).transpose();
                match (numbers, logits) {
                    (Err(reason), _) => pass(&mut tally, file, &reason)?,
                    (_, Err(reason)) => pass(&mut tally, file, reason)?,
                    (Ok(numbers), Ok(logits)) => {
                        let (size, told) = boxes.told(&images, i, &numbers, logits)?;
                        let picture = match &pictures {
                            Some(pictures) => {
                                let bounds: Vec<_> =
                                    told.iter().filter_map(|it| it.bounds).collect();
                                let picture = outlined(&images.picture(i)?, &bounds);
                                Some(pictures.write(place + i, &picture)?)
                            }
                            None => None,
                        };
                        tell(request.format, file, size, &told, picture)?;
                    }
                }
            }
            place += found.len();
            found = tally.next(&mut files, ui);
        }
        Ok(())
    };
    let linear_weights = request.network.linear_weights;
    let then = &mut |show: &mut Show<'_>| match classifier.take() {
        None => locate(show, None),
        Some((checkpoint, decoding, transform)) => {
            let then = &mut |classify: &mut Show<'_>| locate(show, Some((classify, decoding)));
            let transform = &transform;
            let given = Given { device, checkpoint, linear_weights, transform, most, then };
            device::run(device, given)
        }
    };
    if most > 0 {
        let transform = &transform;
        let given = Given { device, checkpoint, linear_weights, transform, most, then };
        device::run(device, given)?;
    }
    if tally.files == 0 {
        let message = "there is no image to look at";
        let help = "name image files, or a folder that has some";
        return Err(Failure::new(Code::Data, message).help(help).into());
    }
    unreadable(tally.unreadable, tally.files)
}

/// Makes boxes of what networks give.
struct Boxes<'a> {
    task: Task,
    /// Of the classes.
    names: Vec<String>,
    /// How many classes are told.
    top: usize,
    transform: &'a Transform,
}

impl Boxes<'_> {
    /// The height and width of image `i`, and what is told of it where the network that locates gives these
    /// numbers, and one that classifies, if there is one, these logits.
    fn told(
        &self,
        images: &Images,
        i: usize,
        numbers: &[f32],
        logits: Option<&[f32]>,
    ) -> Result<([usize; 2], Vec<Told>)> {
        let Self { task, names, top, transform } = self;
        let moment = Moment { seed: 0, epoch: 0 };
        let (size, crop) = (images.size(i)?, transform.crops(images, i, moment)?[0]);
        let window = Window { crop: &crop, corner: [0, 0], size: crop.size() };
        let of_class = |class: usize| window.bounds(box_of(*task, numbers, class as u32), size);
        let told = match logits {
            None => vec![Told { class: None, bounds: of_class(0) }],
            Some(logits) => {
                let ranked = rank(&Posteriors::of(logits, logits.len()), *top);
                let told = |(class, p): (usize, f32)| Told {
                    class: Some((class, names[class].clone(), p)),
                    bounds: of_class(class),
                };
                ranked.into_iter().map(told).collect()
            }
        };
        Ok((size, told))
    }
}

/// Refuses what is of classes, and a network of a box a class that is not told which class.
fn refuse(request: &PredictRequest<'_>, task: Task) -> Result<()> {
    let (message, help) = match () {
        () if request.explain.is_some() => (
            "--explain is of classes, and the run locates objects",
            "--draw FOLDER shows their boxes",
        ),
        () if !request.views.are_one() => (
            "--flip and --shift average probabilities, and the run locates objects",
            "leave them out; `vgg-train eval` has boxes of several views",
        ),
        () if task == (Task::Localisation { boxes: Regression::PerClass })
            && request.classifier.is_none() =>
        {
            (
                "the network has a box for each class, and nothing says which classes are there",
                "--classifier RUN is a run that says it, such as the one that this run started from",
            )
        }
        () => return Ok(()),
    };
    Err(Failure::new(Code::Usage, message).help(help).into())
}

/// Prints what is told of a file whose image has this size.
fn tell(
    format: Format,
    file: &Path,
    [h, w]: [usize; 2],
    told: &[Told],
    picture: Option<&Path>,
) -> Result<()> {
    match format {
        Format::Text => {
            let mut lines = vec![file.display().to_string()];
            lines.extend(told.iter().map(to_line));
            lines.extend(picture.map(|picture| format!("  drawn in {}", picture.display())));
            print::lines(lines)
        }
        Format::Json => {
            let boxes: Vec<Value> = told.iter().map(to_json).collect();
            let mut json = json!({
                "file": file.to_string_lossy(),
                "width": w,
                "height": h,
                "boxes": boxes,
            });
            if let Some(picture) = picture {
                json["drawn"] = json!(picture.to_string_lossy());
            }
            print::json(&json)
        }
        Format::Csv => told.iter().try_for_each(|told| print_row(to_row(file, told))),
    }
}

fn to_line(Told { class, bounds }: &Told) -> String {
    let class = class.as_ref().map(|(_, name, p)| format!("{:5.1} %  {name}, ", 100.0 * p));
    let bounds = bounds.map(|bounds| {
        let [x0, y0, x1, y1] = bounds.corners();
        format!("from ({x0:.1}, {y0:.1}) to ({x1:.1}, {y1:.1})")
    });
    format!("  {}{}", class.unwrap_or_default(), bounds.unwrap_or("no box".into()))
}

fn to_json(Told { class, bounds }: &Told) -> Value {
    let mut json = json!({ "box": bounds.map(|bounds| bounds.corners()) });
    if let Some((label, name, p)) = class {
        json["class"] = name.as_str().into();
        json["label"] = (*label).into();
        json["probability"] = (*p).into();
    }
    json
}

fn to_row(file: &Path, Told { class, bounds }: &Told) -> Vec<Vec<u8>> {
    let class = match class {
        Some((_, name, p)) => [name.clone().into_bytes(), p.to_string().into_bytes()],
        None => [vec![], vec![]],
    };
    let corners = match bounds {
        Some(bounds) => bounds.corners().map(|at| at.to_string().into_bytes()),
        None => [const { Vec::new() }; 4],
    };
    let name = file.as_os_str().as_encoded_bytes().to_vec();
    [name].into_iter().chain(class).chain(corners).collect()
}
