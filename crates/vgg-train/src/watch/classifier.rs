//! What a run's network makes of images that come one at a time.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use vgg_cpu::Cpu;
use vgg_data::{Decoding, Images, Loader, Transform};
use vgg_model::Session;
use vgg_tensor::Error;

use super::watched::{Stamp, stamp};
use crate::config;
use crate::data;
use crate::drawing::heatmap::overlay;
use crate::drawing::pixels::{data_uri, png};
use crate::failure::{Code, Failure};
use crate::machine::device;
use crate::passes::classify::{class_names, predictions, prepared, rank};
use crate::run::checkpoints::{self, LinearWeights};
use crate::run::folder::Which;

/// Classes that are told of an image.
const TOLD: usize = 5;

/// The network that was asked last, on the CPU, as a GPU may be busy with training.
pub(crate) struct Classifier {
    device: config::Device,
    asked: Mutex<Option<Network>>,
}

/// A run's network as it is now.
struct Network {
    /// The checkpoint's file, and what changes when the file does.
    file: PathBuf,
    stamp: Stamp,
    epoch: u64,
    classes: Vec<String>,
    decoding: Decoding,
    transform: Transform,
    session: Session<Cpu>,
}

impl Classifier {
    /// One that computes as `device` says, but on the CPU.
    pub(crate) fn new(device: config::Device) -> Self {
        Self { device, asked: Mutex::new(None) }
    }

    /// The most probable classes of an image, `image` being a file's bytes, and where the
    /// network sees the first one.
    ///
    /// # Errors
    /// With [`Code::Data`] if it is none; with [`Code::Checkpoint`] if the run has no network yet, or a
    /// damaged one; with [`Code::Memory`] if memory does not suffice.
    pub(crate) fn classify(&self, run: &Path, image: &[u8]) -> Result<Value> {
        let file = checkpoints::find(run, Which::Best)?;
        let mut asked = self.asked();
        let now = stamp(&file);
        if !asked.as_ref().is_some_and(|network| network.file == file && network.stamp == now) {
            // Not both at a time in memory.
            *asked = None;
            *asked = Some(Network::load(run, file, now, &self.device)?);
        }
        let network = asked.as_mut().context("the network is there")?;
        network.classify(image, self.device.threads)
    }

    fn asked(&self) -> MutexGuard<'_, Option<Network>> {
        self.asked.lock().unwrap_or_else(|poisoned| {
            // Whatever a panic left behind.
            let mut asked = poisoned.into_inner();
            *asked = None;
            asked
        })
    }
}

impl Network {
    fn load(run: &Path, file: PathBuf, stamp: Stamp, device: &config::Device) -> Result<Self> {
        let checkpoint = checkpoints::classifier(&file)?;
        let (epoch, classes) = (checkpoint.progress.epoch, class_names(&checkpoint));
        let (input, transform) = data::prediction(run, &checkpoint)?;
        let backend = Cpu::new(device::cpu(device))?;
        let (session, _) = prepared(backend, checkpoint, LinearWeights::F32, &transform, 1)?;
        Ok(Self {
            file,
            stamp,
            epoch,
            classes,
            decoding: data::decoding(&input),
            transform,
            session,
        })
    }

    fn classify(&mut self, image: &[u8], threads: usize) -> Result<Value> {
        let mut file = tempfile::NamedTempFile::new().context("cannot keep the image")?;
        file.write_all(image).context("cannot keep the image")?;
        let images = Images::from_files(&[file.path().into()], self.decoding);
        let loader = Loader::new(images, self.transform.clone(), 1, threads)?;
        let mut batches = loader.epoch(0, 0);
        // Without the name of a file that is nobody's.
        let unreadable = |error| match error {
            Error::Format { reason, .. } => Failure::new(Code::Data, reason).into(),
            error => anyhow::Error::from(error),
        };
        let batch = batches.next_batch().map_err(unreadable)?.context("there is an image")?;
        let probabilities = self.session.probabilities(&batch.pixels)?;
        let ranked = rank(&probabilities, TOLD);
        let explanation = self.explanation(&batch.pixels, ranked[0].0).map_err(|error| {
            tracing::warn!("no explanation: {error:#}");
        });
        Ok(json!({
            "epoch": self.epoch,
            "predictions": predictions(&ranked, &self.classes),
            "explanation": explanation.ok(),
        }))
    }

    /// The address of a picture of where the network sees a class.
    fn explanation(&mut self, pixels: &[u8], class: usize) -> Result<String> {
        let map = &self.session.grad_cam(pixels, &[class as u32])?[0];
        Ok(data_uri("png", &png(&overlay(pixels, self.transform.shape(), map))))
    }
}
