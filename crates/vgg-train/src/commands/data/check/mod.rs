//! `data check DIR`: what to know of a folder of images before training on it.

mod boxes;
mod boxes_page;
mod findings;
mod page;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueHint};
use serde_json::json;
use vgg_data::Decoding;
use vgg_data::boxes::ReadOptions;
use vgg_data::image_folder::{Arrangement, OpenOptions, PartFolders, image_files};

use self::boxes::BoxFindings;
use self::findings::{Damaged, Findings, Odd, Pair, Part, Range, Skipped};
use crate::data;
use crate::data::folder::{Skipping, cached, explain_arranged, require_parts};
use crate::failure::Code;
use crate::run::output::Output;
use crate::terminal::numbers::{count, grouped};
use crate::terminal::print;
use crate::terminal::table::Table;
use crate::terminal::ui::Ui;

/// Files that are named; the others are counted.
const NAMED: usize = 20;

/// Most classes that are listed.
const LISTED_CLASSES: usize = 50;

/// The shape of the JSON.
const SCHEMA: u32 = 1;

/// How what was found is told.
#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// Print all that was found as JSON
    #[arg(long)]
    json: bool,
    /// Write a page with thumbnails of the classes, of copies and of odd images to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    page: Option<PathBuf>,
    /// Boxes of the objects in the images: a CSV file with lines path,label,x0,y0,x1,y1, JSON of COCO, or XML
    /// of Pascal VOC; or a folder of such files
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    boxes: Option<PathBuf>,
    /// Number of the first pixel in Pascal VOC's XML: 1, or 0 as some programs write it
    #[arg(long, value_name = "N", default_value_t = 1, requires = "boxes")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1))]
    first_pixel: u32,
}

/// Decodes all images and prints what was found; damage makes it fail with [`Code::Data`].
pub(crate) fn command(
    dir: &Path,
    arrangement: &Arrangement,
    options: &CheckOptions,
    ui: &Ui,
) -> Result<Code> {
    require_parts(dir, arrangement)?;
    let read = [&arrangement.labels, &options.boxes].into_iter().flatten();
    let read: Vec<&Path> = read.map(PathBuf::as_path).collect();
    let output = options.page.as_ref().map(|page| Output::new(page, &read)).transpose()?;
    ui.status("Decoding", &format!("all images of {}", dir.display()));
    let opening = cached(Decoding::turned(3));
    let opening = OpenOptions { skip_damaged: true, digests: true, tolerant: true, ..opening };
    let open = || arrangement.open_all(dir, &arrangement.all_class_names(dir)?, &opening);
    let parts =
        open().map_err(|error| explain_arranged(dir, arrangement, error, Skipping::Option))?;
    let mut findings = Findings::of(&parts, arrangement.repeated_in_classes(dir));
    if let Some(path) = arrangement.part_folders(dir)?.as_ref().and_then(PartFolders::unlabelled) {
        let why = format!("{} has no folders of classes, to say what they are", path.display());
        findings.skipped.push(Skipped { files: image_files(path).count(), why });
    }
    let reading = ReadOptions { first_pixel: options.first_pixel, skip_damaged: true };
    let boxes = options.boxes.as_ref();
    let boxes = boxes.map(|source| data::boxes::read(source, &parts, &reading));
    let boxes = boxes.transpose()?;
    let damaged = boxes.iter().flat_map(|boxes| boxes.damaged());
    findings.damaged.extend(damaged.map(Damaged::of));
    let boxes = boxes.map(|boxes| BoxFindings::of(&parts, &boxes));
    let mut json = json!({ "schema": SCHEMA, "folder": dir.to_string_lossy() });
    if let (Some(all), Ok(serde_json::Value::Object(found))) =
        (json.as_object_mut(), serde_json::to_value(&findings))
    {
        all.extend(found);
        if let Some(boxes) = &boxes {
            all.insert("boxes".into(), serde_json::to_value(boxes)?);
        }
    }
    if let Some(output) = output {
        let page = page::page(dir, &findings, boxes.as_ref(), &parts, &json)?;
        output.write(|out| out.write_all(page.as_bytes()))?;
        ui.status("Page", &output.path().display().to_string());
    }
    match options.json {
        true => print::lines([json.to_string()])?,
        false => print::lines(lines(&findings, boxes.as_ref()))?,
    }
    Ok(if findings.damaged.is_empty() { Code::Success } else { Code::Data })
}

fn lines(findings: &Findings, boxes: Option<&BoxFindings>) -> Vec<String> {
    let mut lines: Vec<_> = findings.parts.iter().flat_map(sizes).collect();
    lines.extend(balance(findings));
    if findings.classes.len() < 2 {
        lines.push("classes      one, where training needs two to tell apart".into());
    }
    lines.extend(findings.classes_told().map(|told| format!("classes      {told}")));
    lines.push(format!("duplicates   {}", findings.copies_told()));
    // Those that are wrong first.
    let of_two = findings.copies().filter(|pair| pair.other_class);
    let pairs = of_two.chain(findings.copies().filter(|pair| !pair.other_class));
    named(&mut lines, pairs.map(|Pair { file, same_as, .. }| format!("  {file} = {same_as}")));
    let odd_sizes = &findings.odd_sizes;
    lines.push(format!("odd sizes    {}", grouped(odd_sizes.len() as u64)));
    named(
        &mut lines,
        odd_sizes.iter().map(|Odd { file, height, width, why, .. }| {
            format!("  {file}: {height}×{width}, {why}")
        }),
    );
    let [turned, animated] =
        [findings.turned, findings.animated].map(|images| grouped(images as u64));
    lines.push(format!("orientation  {turned} are turned as their EXIF data say"));
    lines.push(format!("animated     {animated}: the first frame is the image"));
    if let Some(boxes) = boxes {
        lines.extend(boxes.lines(|lines, files| named(lines, files.into_iter())));
    }
    let skipped = findings.skipped.iter();
    lines
        .extend(skipped.map(|it| format!("left out     {}: {}", grouped(it.files as u64), it.why)));
    lines.push(format!("damaged      {}", grouped(findings.damaged.len() as u64)));
    lines.extend(findings.damaged.iter().map(|it| format!("  {}: {}", it.file, it.why)));
    lines
}

/// Adds the first lines, and how many there are besides.
fn named(lines: &mut Vec<String>, of_files: impl Iterator<Item = String>) {
    let mut of_files = of_files;
    lines.extend(of_files.by_ref().take(NAMED));
    match of_files.count() {
        0 => {}
        rest => lines.push(format!("  and {} more", grouped(rest as u64))),
    }
}

/// How many images there are, and how large.
fn sizes(Part { name, images, ignored, height, width, short_side }: &Part) -> Vec<String> {
    let others = match ignored {
        0 => String::new(),
        n => format!(", {} of other kinds", count(*n as u64, "file")),
    };
    vec![
        format!("{name:<12} {}{others}", count(*images as u64, "image")),
        format!("  height     {}", Range::told(height.as_ref())),
        format!("  width      {}", Range::told(width.as_ref())),
        format!("  short side {}", Range::told(short_side.as_ref())),
    ]
}

/// How many images each class has: all of few classes, else the range.
fn balance(findings: &Findings) -> Vec<String> {
    let Findings { parts, classes, imbalance, .. } = findings;
    let ratio = format!("imbalance    the largest class is {imbalance:.1} times the smallest");
    if classes.len() <= LISTED_CLASSES {
        let mut lines = match parts.len() {
            1 => balance_table::<2>(findings),
            2 => balance_table::<3>(findings),
            _ => balance_table::<4>(findings),
        };
        lines.push(ratio);
        return lines;
    }
    let range = |(i, part): (usize, &Part)| {
        let counts = || classes.iter().map(|class| class.images[i] as u64);
        let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        format!("{} to {} in {}", grouped(least), grouped(most), part.name)
    };
    let ranges: Vec<_> = parts.iter().enumerate().map(range).collect();
    vec![format!("classes      {}: of each {}", classes.len(), ranges.join(", ")), ratio]
}

/// A table of a column for the class and one a part.
fn balance_table<const N: usize>(Findings { parts, classes, .. }: &Findings) -> Vec<String> {
    let header = |column: usize| match column {
        0 => "class",
        column => parts[column - 1].name,
    };
    let mut table = Table::new(1, std::array::from_fn::<_, N, _>(header));
    for class in classes {
        table.row(std::array::from_fn(|column| match column {
            0 => class.name.clone(),
            column => grouped(class.images[column - 1] as u64),
        }));
    }
    table.lines()
}
