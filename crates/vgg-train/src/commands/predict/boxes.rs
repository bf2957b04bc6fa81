//! Where a network that locates sees objects in image files.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use vgg_data::boxes::BoundingBox;
use vgg_data::{Images, Moment};
use vgg_model::{Regression, Task};

use super::{Format, PredictRequest, paths, pictures_in, print_row};
use crate::config::{self, Override};
use crate::data;
use crate::drawing::outlines::outlined;
use crate::failure::{Code, Failure};
use crate::machine::device;
use crate::passes::classify::{Tally, class_names, rank, unreadable};
use crate::passes::given::Given;
use crate::passes::outputs::{Window, box_of};
use crate::run::checkpoints;
use crate::scores::posteriors::Posteriors;
use crate::terminal::print;
use crate::terminal::ui::Ui;

/// A class, how probable it is, and where its object is, in the image's pixels; nothing if the network's
/// numbers are no box.
struct Told {
    /// Its number and name, where a network says it.
    class: Option<(usize, String, f32)>,
    bounds: Option<BoundingBox>,
}

/// `predict RUN FILES…` of a run that locates, whose checkpoint is at `path`.
pub(super) fn command(
    request: &PredictRequest<'_>,
    path: &Path,
    overrides: &[Override],
    ui: &Ui,
) -> Result<()> {
    let device = config::device(overrides)?;
    let checkpoint = checkpoints::load(path)?;
    let task = checkpoint.vgg.task;
    refuse(request, task)?;
    let classifier = request.classifier.map(|run| {
        let download = config::may_download(overrides);
        let path = checkpoints::network(run, request.network.checkpoint, download, ui)?;
        let own = checkpoints::classifier(&path)?;
        if own.classes != checkpoint.classes || own.vgg.classes != checkpoint.vgg.classes {
            let message = format!("{} tells other classes apart", path.display());
            return Err(Failure::new(Code::Checkpoint, message).into());
        }
        anyhow::Ok((data::prediction(run, &own)?, path))
    });
    let classifier = classifier.transpose()?;
    let separator = if request.null { b'\0' } else { b'\n' };
    let mut files = paths::files(request.files, separator);
    let pictures = pictures_in(request.draw, &mut files, path)?;
    let (input, transform) = data::prediction(request.run, &checkpoint)?;
    ui.status("Input", &data::describe(&input, checkpoint.vgg.input));
    let names = class_names(&checkpoint);
    let (linear_weights, moment) = (request.network.linear_weights, Moment { seed: 0, epoch: 0 });
    let (mut tally, mut place) = (Tally::default(), 0);
    drop(checkpoint);
    if request.format == Format::Csv {
        print_row(["file", "class", "probability", "x0", "y0", "x1", "y1"].to_vec())?;
    }
    loop {
        let found = tally.next(&mut files, ui);
        if found.is_empty() {
            break;
        }
        let images = Images::from_files(&found, data::decoding(&input));
        let show = |path: &Path, images: &Images, transform| {
            let (device, path) = (&device, path);
            device::run(device, Given { device, path, linear_weights, images, transform })
        };
        let probabilities = classifier.as_ref().map(|((input, transform), path)| {
            let images = Images::from_files(&found, data::decoding(input));
            show(path, &images, transform)
        });
        let probabilities = probabilities.transpose()?;
        for (i, numbers) in show(path, &images, &transform)?.into_iter().enumerate() {
            let of_classifier = probabilities.as_ref().map(|each| each[i].as_deref());
            let (numbers, logits) = match (numbers, of_classifier) {
                (Err(reason), _) => {
                    tally.pass(&reason, ui);
                    place += 1;
                    continue;
                }
                (Ok(_), Some(Err(reason))) => {
                    tally.pass(reason, ui);
                    place += 1;
                    continue;
                }
                (Ok(numbers), Some(Ok(logits))) => (numbers, Some(logits)),
                (Ok(numbers), None) => (numbers, None),
            };
            let (size, crop) = (images.size(i)?, transform.crops(&images, i, moment)?[0]);
            let window = Window { crop: &crop, corner: [0, 0], size: crop.size() };
            let of_class = |class: usize| window.bounds(box_of(task, &numbers, class as u32), size);
            let told: Vec<Told> = match logits {
                None => vec![Told { class: None, bounds: of_class(0) }],
                Some(logits) => {
                    let top = rank(&Posteriors::of(logits, logits.len()), request.top);
                    let told = |(class, p): (usize, f32)| Told {
                        class: Some((class, names[class].clone(), p)),
                        bounds: of_class(class),
                    };
                    top.into_iter().map(told).collect()
                }
            };
            let picture = match &pictures {
                None => None,
                Some(pictures) => {
                    let boxes: Vec<_> = told.iter().filter_map(|it| it.bounds).collect();
                    Some(pictures.write(place, &outlined(&images.picture(i)?, &boxes))?)
                }
            };
            tell(request.format, &found[i], size, &told, picture)?;
            place += 1;
        }
    }
    if tally.files == 0 {
        let message = "there is no image to look at";
        let help = "name image files, or a folder that has some";
        return Err(Failure::new(Code::Data, message).help(help).into());
    }
    unreadable(tally.unreadable, tally.files)
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
