//! `data check DIR`: what to know of a folder of images before training on it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use vgg_data::image_folder::{Arrangement, Digest, OpenOptions};
use vgg_data::{Decoding, ImageFolder};

use crate::data::folder::{Parts, cached, explain_arranged, require_undivided};
use crate::failure::Code;
use crate::terminal::numbers::{count, grouped};
use crate::terminal::print;
use crate::terminal::table::Table;
use crate::terminal::ui::Ui;

/// Pairs of duplicates that are named.
const NAMED_PAIRS: usize = 20;

/// Most classes that are listed.
const LISTED_CLASSES: usize = 50;

/// Decodes all images and prints what was found; damage makes it fail with [`Code::Data`].
pub(crate) fn command(dir: &Path, arrangement: &Arrangement, ui: &Ui) -> Result<Code> {
    require_undivided(dir, arrangement)?;
    ui.status("Decoding", &format!("all images of {}", dir.display()));
    let options = OpenOptions { skip_damaged: true, digests: true, ..cached(Decoding::turned(3)) };
    let open = || arrangement.open(dir, &arrangement.class_names(dir)?, &options);
    let parts = open().map_err(|error| explain_arranged(dir, arrangement, error))?;
    let mut lines = vec![];
    for (name, part) in &parts {
        lines.extend(sizes(name, part));
    }
    lines.extend(balance(&parts));
    lines.extend(duplicates(&parts));
    let total = |of: &dyn Fn(&ImageFolder) -> usize| {
        grouped(parts.iter().map(|(_, part)| of(part)).sum::<usize>() as u64)
    };
    let [turned, animated] = [total(&ImageFolder::turned), total(&ImageFolder::animated)];
    lines.push(format!("orientation  {turned} are turned as their EXIF data say"));
    lines.push(format!("animated     {animated}: the first frame is the image"));
    for (_, part) in &parts {
        let kinds = part.foreign().iter();
        lines.extend(kinds.map(|(kind, n)| format!("not read     {}: {kind}", grouped(*n as u64))));
    }
    let damaged: Vec<_> = parts.iter().flat_map(|(_, part)| part.damaged()).collect();
    lines.push(format!("damaged      {}", grouped(damaged.len() as u64)));
    lines.extend(damaged.iter().map(|error| format!("  {error}")));
    print::lines(lines)?;
    Ok(if damaged.is_empty() { Code::Success } else { Code::Data })
}

/// How many images there are, and how large.
fn sizes(name: &str, part: &ImageFolder) -> Vec<String> {
    let range = |of: &dyn Fn(&[usize; 2]) -> usize| {
        let mut sorted: Vec<usize> = part.sizes().iter().map(of).collect();
        if sorted.is_empty() {
            return "none".to_owned();
        }
        sorted.sort_unstable();
        let [least, median, most] = [0, sorted.len() / 2, sorted.len() - 1].map(|i| sorted[i]);
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
fn balance(parts: &Parts) -> Vec<String> {
    let classes = parts[0].1.classes();
    let counts = parts.iter().map(|(_, part)| {
        let mut counts = vec![0_u64; classes.len()];
        part.files().iter().for_each(|file| counts[file.label as usize] += 1);
        counts
    });
    let counts: Vec<_> = counts.collect();
    if classes.len() <= LISTED_CLASSES {
        return match parts.len() {
            1 => balance_table::<2>(parts, &counts),
            2 => balance_table::<3>(parts, &counts),
            _ => balance_table::<4>(parts, &counts),
        };
    }
    let range = |((name, _), counts): (&(&str, ImageFolder), &Vec<u64>)| {
        let (least, most) = (counts.iter().min(), counts.iter().max());
        let [least, most] = [least, most].map(|n| grouped(n.copied().unwrap_or_default()));
        format!("{least} to {most} in {name}")
    };
    let ranges: Vec<_> = parts.iter().zip(&counts).map(range).collect();
    vec![format!("classes      {}: of each {}", classes.len(), ranges.join(", "))]
}

/// A table of a column for the class and one a part.
fn balance_table<const N: usize>(parts: &Parts, counts: &[Vec<u64>]) -> Vec<String> {
    let header = |column: usize| match column {
        0 => "class",
        column => parts[column - 1].0,
    };
    let mut table = Table::new(1, std::array::from_fn::<_, N, _>(header));
    for (i, class) in parts[0].1.classes().iter().enumerate() {
        table.row(std::array::from_fn(|column| match column {
            0 => class.clone(),
            column => grouped(counts[column - 1][i]),
        }));
    }
    table.lines()
}

/// Which files are copies of others, those in two parts first: they are tested on though known.
fn duplicates(parts: &Parts) -> Vec<String> {
    let mut first: HashMap<&Digest, (usize, usize)> = HashMap::new();
    let (mut across, mut within) = (Vec::new(), Vec::new());
    for (part, (_, folder)) in parts.iter().enumerate() {
        for (i, digest) in folder.digests().iter().enumerate() {
            let Some(&(other_part, other)) = first.get(digest) else {
                first.insert(digest, (part, i));
                continue;
            };
            let [file, other] = [(part, i), (other_part, other)]
                .map(|(part, i)| parts[part].1.files()[i].path.display().to_string());
            let pairs = if part == other_part { &mut within } else { &mut across };
            pairs.push(format!("  {file} = {other}"));
        }
    }
    let [n_across, n_within] = [&across, &within].map(|pairs| grouped(pairs.len() as u64));
    let mut lines = vec![format!("duplicates   {n_across} in two parts, {n_within} within a part")];
    let all = across.len() + within.len();
    lines.extend(across.into_iter().chain(within).take(NAMED_PAIRS));
    if all > NAMED_PAIRS {
        lines.push(format!("  and {} more", grouped((all - NAMED_PAIRS) as u64)));
    }
    lines
}
