//! `summary CONFIG` or `summary RUN`: the network as a table, and the memory of training it.

use std::path::Path;

use anyhow::Result;
use vgg_model::{Plan, Vgg};
use vgg_tensor::Backend;

use crate::config::{self, Config, Override};
use crate::data::{self, Data};
use crate::machine::device::{self, Job};
use crate::machine::memory;
use crate::terminal::numbers::{bytes, grouped, millions};
use crate::terminal::print;
use crate::terminal::table::Table;
use crate::terminal::ui::Ui;
use crate::training::ready::batches;

/// Prints a row a layer, and what training needs on the device.
pub(crate) fn command(path: &Path, overrides: Vec<Override>, ui: &Ui) -> Result<()> {
    let is_network = config::is_run(path) || config::pretrained(path).is_some();
    let mut config = match is_network {
        true => config::of(path, overrides)?.config,
        false => data::load_noted(path, overrides, ui)?.config,
    };
    // Data that are not there are not worth fetching for a table.
    config.data.download = false;
    let data = data::open(&config, &ui.silenced());
    let vgg = Vgg::new(&config.vgg())?;
    let mut lines = table(&config, &vgg, data.as_ref().ok())?;
    let needs = Needs { config: &config, vgg: &vgg, data: data.as_ref().ok() };
    lines.push(String::new());
    lines.extend(device::run(&config.device, needs)?);
    if let Err(error) = data {
        let cause = error.root_cause().to_string();
        let cause = cause.lines().next().unwrap_or_default();
        lines.push(format!("besides the data set: {}", cause.trim_end_matches("; tried:")));
    }
    print::lines(lines)
}

fn table(config: &Config, vgg: &Vgg, data: Option<&Data>) -> Result<Vec<String>> {
    let (_, micro_batch, mode) = batches(config, vgg, data)?;
    let plan = Plan::new(vgg, &config.input(), micro_batch, mode)?;
    let parameters = |n: u64| if n == 0 { String::new() } else { grouped(n) };
    let macs = |n: u64| match n {
        0 => String::new(),
        n if n < 100_000 => grouped(n),
        n if n < 1_000_000_000 => millions(n),
        n => format!("{:.2} G", n as f64 / 1e9),
    };
    let mut table = Table::new(3, ["layer", "kind", "output", "parameters", "MACs", "memory"]);
    for row in plan.rows() {
        // Of one image, as the multiply-adds are.
        let output = row.output.map(|shape| shape.to_string()).unwrap_or_default();
        let output = output.split_once('×').map_or("", |(_, output)| output).to_owned();
        table.row([
            row.name.clone(),
            brief(&row.kind),
            output,
            parameters(row.params as u64),
            macs(row.macs),
            if row.bytes == 0 { String::new() } else { bytes(row.bytes) },
        ]);
    }
    table.rule();
    table.row([
        "total".into(),
        String::new(),
        String::new(),
        grouped(vgg.param_count() as u64),
        macs(vgg.macs()),
        bytes(plan.bytes()),
    ]);
    Ok(table.lines())
}

/// What a layer is, in so few words that the largest network's table has 80 columns. All pools that
/// follow something are 2×2, and outputs tell the sizes.
fn brief(kind: &str) -> String {
    let words = [("max-pool 2×2", "pool"), ("batch norm", "norm"), (" + ", ", ")];
    let kind = words.iter().fold(kind.to_owned(), |kind, (long, short)| kind.replace(long, short));
    match kind.split_once(", ") {
        Some((resize, then)) if resize.starts_with("resize") => format!("resize, {then}"),
        _ => kind,
    }
}

/// What training needs, as a run tells it when it starts.
struct Needs<'a> {
    config: &'a Config,
    vgg: &'a Vgg,
    data: Option<&'a Data>,
}

impl Job for Needs<'_> {
    type Output = Vec<String>;

    fn run<B: Backend>(self, backend: B) -> Result<Vec<String>> {
        let Self { config, vgg, data } = self;
        let (batch, micro_batch, mode) = batches(config, vgg, data)?;
        let host = data.map(|data| data.memory(batch, micro_batch)).transpose()?;
        let plan = Plan::new(vgg, &config.input(), micro_batch, mode)?;
        let needed = memory::needed(vgg, &plan, &backend, host.unwrap_or_default());
        let (needed, device) = (bytes(needed), backend.describe());
        Ok(vec![format!("training needs {needed} at batch size {batch} on {device}")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_network() {
        let mut config = Config::default();
        config.model.width = 0.25;
        insta::assert_snapshot!(table(&config, &Vgg::new(&config.vgg()).unwrap(), None).unwrap().join("\n"), @r#"
        layer         kind                  output      parameters     MACs     memory
        ──────────────────────────────────────────────────────────────────────────────
        images        resize, normalise     1×224×224                         24.5 MiB
        features.0    conv 3×3, relu, pool  16×112×112         160   7.23 M  110.3 MiB
        features.3    conv 3×3, relu, pool  32×56×56         4 640  57.80 M   55.1 MiB
        features.6    conv 3×3, relu        64×56×56        18 496  57.80 M  101.1 MiB
        features.8    conv 3×3, relu, pool  64×28×28        36 928  115.6 M   27.7 MiB
        features.11   conv 3×3, relu        128×28×28       73 856  57.80 M   50.8 MiB
        features.13   conv 3×3, relu, pool  128×14×14      147 584  115.6 M   14.3 MiB
        features.16   conv 3×3, relu        128×14×14      147 584  28.90 M   13.2 MiB
        features.18   conv 3×3, relu, pool  128×7×7        147 584  28.90 M    4.0 MiB
        classifier.0  linear, relu          4096        25 694 208  25.69 M  100.1 MiB
        classifier.2  dropout 0.5           4096
        classifier.3  linear, relu          4096        16 781 312  16.78 M   66.1 MiB
        classifier.5  dropout 0.5           4096
        classifier.6  linear                10              40 970   40 960  165.0 KiB
        gradients                                                            100.0 MiB
        ──────────────────────────────────────────────────────────────────────────────
        total                                           43 093 322  512.2 M  667.4 MiB
        "#);
    }
}
