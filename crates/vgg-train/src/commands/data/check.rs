//! `data check DIR`: what to know of a folder of images before training on it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use vgg_data::image_folder::{OpenOptions, TRAIN, VAL, class_names};
use vgg_data::{Decoding, ImageFolder};

use crate::data::folder::{cached, explain};
use crate::failure::{Code, Failure};
use crate::terminal::numbers::{count, grouped};
use crate::terminal::print;
use crate::terminal::table::Table;
use crate::terminal::ui::Ui;

/// Pairs of duplicates that are named.
const NAMED_PAIRS: usize = 20;

/// Most classes that are listed.
const LISTED_CLASSES: usize = 50;

/// Decodes all images and prints what was found; damage makes it fail with [`Code::Data`].
pub(crate) fn command(dir: &Path, ui: &Ui) -> Result<Code> {
    ui.status("Decoding", &format!("all images of {}", dir.display()));
    let classes = class_names(&dir.join(TRAIN)).map_err(|error| explain(dir, error))?;
    let options = OpenOptions { skip_damaged: true, ..cached(Decoding::turned(3)) };
    let parts = [TRAIN, VAL].map(|part| {
        let part = ImageFolder::open(&dir.join(part), &classes, &options);
        part.map_err(|error| explain(dir, error))
    });
    let [train, val] = parts;
    let parts = [train?, val?];
    let mut lines = vec![];
    for (name, part) in [TRAIN, VAL].iter().zip(&parts) {
        lines.extend(sizes(name, part));
    }
    lines.extend(balance(&classes, &parts));
    lines.extend(duplicates(&parts)?);
    let [turned, animated] = [ImageFolder::turned, ImageFolder::animated]
        .map(|of| grouped(parts.iter().map(of).sum::<usize>() as u64));
    lines.push(format!("orientation  {turned} are turned as their EXIF data say"));
    lines.push(format!("animated     {animated}: the first frame is the image"));
    for part in &parts {
        let kinds = part.foreign().iter();
        lines.extend(kinds.map(|(kind, n)| format!("not read     {}: {kind}", grouped(*n as u64))));
    }
    let damaged: Vec<_> = parts.iter().flat_map(ImageFolder::damaged).collect();
    lines.push(format!("damaged      {}", grouped(damaged.len() as u64)));
    lines.extend(damaged.iter().map(|error| format!("  {error}")));
    print::lines(lines)?;
    Ok(if damaged.is_empty() { Code::Success } else { Code::Data })
}

/// How many images there are, and how large.
fn sizes(name: &str, part: &ImageFolder) -> Vec<String> {
    let range = |of: &dyn Fn(&[usize; 2]) -> usize| {
        let mut sorted: Vec<usize> = part.sizes().iter().map(of).collect();
        sorted.sort_unstable();
        let [least, median, most] =
            [0, sorted.len() / 2, sorted.len().saturating_sub(1)].map(|i| sorted[i]);
        format!("{least} to {most}, median {median}")
    };
    let others = match part.ignored() {
        0 => String::new(),
        n => format!(", {} of other kinds", count(n as u64, "file")),
    };
    vec![
        format!("{name:<12} {}{others}", count(part.files().len() as u64, "image")),
        format!("  height     {}", range(&|[h, _]| *h)),
        format!("  width      {}", range(&|[_, w]| *w)),
        format!("  short side {}", range(&|[h, w]| *h.min(w))),
    ]
}

/// How many images each class has: all of few classes, else the range.
fn balance(classes: &[String], parts: &[ImageFolder; 2]) -> Vec<String> {
    let counts = parts.each_ref().map(|part| {
        let mut counts = vec![0_u64; classes.len()];
        part.files().iter().for_each(|file| counts[file.label as usize] += 1);
        counts
    });
    if classes.len() <= LISTED_CLASSES {
        let mut table = Table::new(1, ["class", TRAIN, VAL]);
        for (i, class) in classes.iter().enumerate() {
            table.row([class.clone(), grouped(counts[0][i]), grouped(counts[1][i])]);
        }
        return table.lines();
    }
    let range = |counts: &[u64]| {
        let (least, most) = (counts.iter().min(), counts.iter().max());
        let [least, most] = [least, most].map(|n| grouped(n.copied().unwrap_or_default()));
        format!("{least} to {most}")
    };
    let [train, val] = counts.each_ref().map(|counts| range(counts));
    vec![format!("classes      {}: of each {train} in {TRAIN}, {val} in {VAL}", classes.len())]
}

/// Which files are copies of others, those in both parts first: they are tested on though known.
fn duplicates(parts: &[ImageFolder; 2]) -> Result<Vec<String>> {
    let unreadable = || Failure::new(Code::Data, "cannot read an image");
    let [train, val] = parts;
    let digests = [train.digests().context(unreadable())?, val.digests().context(unreadable())?];
    let mut first: HashMap<[u8; 32], (usize, usize)> = HashMap::new();
    let (mut across, mut within) = (Vec::new(), Vec::new());
    for (part, digests) in digests.iter().enumerate() {
        for (i, digest) in digests.iter().enumerate() {
            let Some(&(other_part, other)) = first.get(digest) else {
                first.insert(*digest, (part, i));
                continue;
            };
            let [file, other] = [(part, i), (other_part, other)]
                .map(|(part, i)| parts[part].files()[i].path.display().to_string());
            let pairs = if part == other_part { &mut within } else { &mut across };
            pairs.push(format!("  {file} = {other}"));
        }
    }
    let [n_across, n_within] = [&across, &within].map(|pairs| grouped(pairs.len() as u64));
    let mut lines =
        vec![format!("duplicates   {n_across} of {VAL} in {TRAIN}, {n_within} within a part")];
    let all = across.len() + within.len();
    lines.extend(across.into_iter().chain(within).take(NAMED_PAIRS));
    if all > NAMED_PAIRS {
        lines.push(format!("  and {} more", grouped((all - NAMED_PAIRS) as u64)));
    }
    Ok(lines)
}
