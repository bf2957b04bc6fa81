//! Images as they are shown to a network: views of one size pass through it together.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use vgg_data::{Batch, Crop, Images, Loader, Moment, Transform, scaled_size};
use vgg_model::{Input, Session, Vgg, VggConfig};
use vgg_tensor::Backend;

use crate::data;
use crate::failure::{self, Code, Failure};
use crate::machine::memory;
use crate::terminal::numbers::count;

/// Pixels that pass through a network at once: with them, the maps of a VGG of full width take
/// 400 MB.
const PIXELS: usize = 16 * 224 * 224;

/// Views of an image beside itself, over which what comes out is averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct Views {
    /// Average over each view and its mirror image
    #[arg(long)]
    pub flip: bool,

    /// Average over each view and eight that are moved by so many pixels, all ways
    ///
    /// Pixels of the image as it is scaled for the network: up, down or not, and left, right or not.
    /// Beyond the image is black, as data.augment.pad_crop has it. With --flip, that is 18 views.
    #[arg(long, value_name = "PIXELS", default_value_t = 0, hide_default_value = true)]
    pub shift: usize,
}

impl Views {
    /// Whether there is nothing to average over.
    pub(crate) fn are_one(self) -> bool {
        self == Self::default()
    }

    /// The views of what `transform` shows.
    ///
    /// # Errors
    /// If a shift leaves nothing of it.
    pub(crate) fn of(self, transform: Transform) -> Result<Transform> {
        let side = transform.shape()[1..].iter().min().copied().unwrap_or_default();
        let transform = match self.shift {
            0 => transform,
            shift => transform.shifted(shift).with_context(|| {
                let message = format!("--shift {shift} is too far");
                let help = format!("--shift can be up to {} here", side.saturating_sub(1));
                Failure::new(Code::Usage, message).help(help)
            })?,
        };
        Ok(if self.flip { transform.mirrored() } else { transform })
    }

    /// What they are, in words; of one, nothing.
    pub(crate) fn describe(self) -> String {
        let shifts = |n| format!("shifts by {}", count(n as u64, "pixel"));
        match self {
            Self { flip: false, shift: 0 } => String::new(),
            Self { flip: true, shift: 0 } => ", with mirror images".into(),
            Self { flip: false, shift } => format!(", with {}", shifts(shift)),
            Self { flip: true, shift } => format!(", with mirror images and {}", shifts(shift)),
        }
    }
}

/// Images whose views have one size.
pub(crate) struct Group {
    /// Their numbers.
    images: Vec<usize>,
    transform: Transform,
    /// What to do if memory does not suffice, where views are as large as the user has chosen and images
    /// are long.
    help: Option<&'static str>,
}

impl Group {
    /// Height and width of its views.
    pub(crate) fn size(&self) -> [usize; 2] {
        let [_, h, w] = self.transform.shape();
        [h, w]
    }

    /// Where the views of each of its images are from.
    ///
    /// # Errors
    /// When the size of an image cannot be read.
    pub(crate) fn crops(&self, images: &Images) -> Result<BTreeMap<usize, Vec<Crop>>> {
        // Nothing of a view is random.
        let moment = Moment { seed: 0, epoch: 0 };
        let of = |image: &usize| Ok((*image, self.transform.crops(images, *image, moment)?));
        self.images.iter().map(of).collect()
    }
}

/// Whole images of a short side, by the size that they are scaled to. `sizes` are their own, but of
/// images that are left out.
pub(crate) fn whole(
    sizes: &[Option<[usize; 2]>],
    channels: usize,
    short_side: usize,
    views: Views,
) -> Result<Vec<Group>> {
    let mut groups: BTreeMap<[usize; 2], Vec<usize>> = BTreeMap::new();
    for (i, size) in sizes.iter().enumerate() {
        if let Some(size) = size {
            groups.entry(scaled_size(*size, short_side)).or_default().push(i);
        }
    }
    let group = |([h, w], same_size): ([usize; 2], Vec<usize>)| {
        let transform = views.of(Transform::resized([channels, h, w]))?;
        let help = Some("images of lower --scales need less");
        Ok(Group { images: same_size, transform, help })
    };
    groups.into_iter().map(group).collect()
}

/// `grid`×`grid` crops of `shape`, channels × height × width, from images of a short side.
pub(crate) fn crops(
    images: &Images,
    shape: [usize; 3],
    short_side: usize,
    grid: usize,
    views: Views,
) -> Result<Vec<Group>> {
    let transform = Transform::scaled(shape, [short_side; 2])?.grid(grid);
    let images = (0..images.len()).collect();
    Ok(vec![Group { images, transform: views.of(transform)?, help: None }])
}

/// The `given` scales, or the `usual` one, at each of which the network of the file `path` has to have
/// room in an image, and `views` something to see of it.
pub(crate) fn scales(
    given: &[usize],
    usual: usize,
    views: Views,
    network: &VggConfig,
    path: &Path,
) -> Result<Vec<usize>> {
    let scales = if given.is_empty() { vec![usual] } else { given.to_vec() };
    let [_, h, w] = network.input;
    for &scale in &scales {
        if scale < h.max(w) {
            let path = path.display();
            let message = format!("the scale {scale} is too small: {path} takes images of {h}×{w}");
            let help = format!("--scales can be from {} on", h.max(w));
            return Err(Failure::new(Code::Usage, message).help(help).into());
        }
        // The other limit is that of scaling.
        views.of(Transform::scaled(network.input, [scale; 2])?)?;
    }
    Ok(scales)
}

/// Is given the number of an image that cannot be read, and the reason.
type PassOver<'a> = &'a mut dyn FnMut(usize, &str);

/// Images that are shown to networks.
pub(crate) struct Shown<'a> {
    pub images: &'a Images,
    /// How pixels become numbers.
    pub input: &'a Input,
    /// The network for views of a height and width. All have the same parameters.
    pub network: &'a dyn Fn([usize; 2]) -> vgg_tensor::Result<Vgg>,
    /// Threads that make views; 0 means all.
    pub threads: usize,
}

impl Shown<'_> {
    /// Runs the network of `session` on all views, and gives for each image its number, how many
    /// views it has, and what came out of them, `[views, outputs]`. The time that passed in waiting
    /// for images.
    ///
    /// # Errors
    /// When an image cannot be read or is too large: the first one.
    pub(crate) fn to<B: Backend>(
        &self,
        session: &mut Session<B>,
        groups: &[Group],
        take: &mut dyn FnMut(usize, usize, &[f32]),
    ) -> Result<Duration> {
        self.show(session, groups, take, None)
    }

    /// As [`Shown::to`], but an image that cannot be read, or all of which is too large for the network,
    /// is passed over, and its number and the reason given to `pass`.
    pub(crate) fn to_readable<B: Backend>(
        &self,
        session: &mut Session<B>,
        groups: &[Group],
        take: &mut dyn FnMut(usize, usize, &[f32]),
        pass: PassOver<'_>,
    ) -> Result<Duration> {
        self.show(session, groups, take, Some(pass))
    }

    fn show<B: Backend>(
        &self,
        session: &mut Session<B>,
        groups: &[Group],
        take: &mut dyn FnMut(usize, usize, &[f32]),
        mut pass: Option<PassOver<'_>>,
    ) -> Result<Duration> {
        let mut waited = Duration::ZERO;
        for group in groups {
            let Group { images, transform, .. } = group;
            let (vgg, input, batch) = match (self.fitted(session, group), &mut pass) {
                (Ok(fitted), _) => fitted,
                (Err(error), Some(pass)) if let Some(help) = group.help => {
                    for image in images {
                        pass(*image, &format!("{}: {error:#}; {help}", self.name(*image)));
                    }
                    continue;
                }
                (Err(error), _) => return Err(self.unfit(group, error)),
            };
            session.set_network(&vgg, &input, batch)?;

            let views = transform.views();
            let same_size = self.images.subset(images);
            let at_once = (batch / views).max(1);
            let loader = Loader::new(same_size, transform.clone(), at_once, self.threads)?;
            let loader = if pass.is_some() { loader.passing_over() } else { loader };
            let mut batches = loader.epoch(0, 0);
            let mut shown = images.iter();
            let unreadable = || data::unreadable(self.images);
            while let Some(batch) = batches.next_batch().with_context(unreadable)? {
                let outputs = session.logits(&batch.pixels)?;
                let of_image = of_each(batch, &outputs, views * vgg.outputs());
                for (outputs, image) in of_image.zip(&mut shown) {
                    match (outputs, &mut pass) {
                        (Ok(outputs), _) => take(*image, views, outputs),
                        (Err(reason), Some(pass)) => pass(*image, reason),
                        (Err(_), None) => unreachable!("the loader passes over no image"),
                    }
                }
            }
            waited += batches.waited();
        }
        Ok(waited)
    }

    /// The network for a group's views, its input, and how many of them pass through it at once.
    ///
    /// # Errors
    /// When views are so large that there is no such network, or no memory for it.
    fn fitted<B: Backend>(
        &self,
        session: &Session<B>,
        group: &Group,
    ) -> Result<(Vgg, Input, usize)> {
        let [height, width] = group.size();
        let views = group.images.len() * group.transform.views();
        let vgg = (self.network)([height, width])?;
        let input = Input { height, width, ..self.input.clone() };
        let most = (PIXELS / (height * width)).min(views).max(1);
        let batch = memory::largest_batch(session, &vgg, &input, most, group.help)?;
        Ok((vgg, input, batch))
    }

    /// Why no image of a group can be shown: of whole images, the first is named.
    pub(super) fn unfit(&self, group: &Group, error: anyhow::Error) -> anyhow::Error {
        let Some(help) = group.help else { return error };
        let [h, w] = group.size();
        // That an image has such a shape is no fault of an option.
        let code = match failure::code(&error) {
            Code::Usage => Code::Data,
            code => code,
        };
        let message = format!("cannot show all of {} at {h}×{w}", self.name(group.images[0]));
        let help = format!("{help}; or leave the image out, or cut it into parts");
        error.context(Failure::new(code, message).help(help))
    }

    /// The file of an image, or its number.
    fn name(&self, image: usize) -> String {
        match self.images.file(image) {
            Some(file) => file.display().to_string(),
            None => format!("image {image}"),
        }
    }
}

/// What came out of each image of a batch, `len` numbers, or why it cannot be read.
pub(super) fn of_each<'a>(
    batch: &'a Batch,
    outputs: &'a [f32],
    len: usize,
) -> impl Iterator<Item = Result<&'a [f32], &'a str>> {
    let mut unreadable = batch.unreadable.iter().peekable();
    outputs.chunks_exact(len).enumerate().map(move |(place, outputs)| {
        match unreadable.next_if(|(at, _)| *at == place) {
            Some((_, reason)) => Err(&**reason),
            None => Ok(outputs),
        }
    })
}
