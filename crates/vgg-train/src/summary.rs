//! `summary CONFIG`: the network as a table.

use anyhow::Result;
use vgg_model::{Plan, Vgg};

use crate::config::Config;
use crate::print;
use crate::table::Table;
use crate::ui::{bytes, grouped};

/// Prints a row a layer.
pub(crate) fn command(config: &Config) -> Result<()> {
    print::lines(table(config)?)
}

fn table(config: &Config) -> Result<Vec<String>> {
    let vgg = Vgg::new(&config.vgg())?;
    let recipe = config.recipe();
    recipe.check(&vgg)?;
    let part = recipe.part_of(config.train.batch_size);
    let plan = Plan::new(&vgg, &config.input(), part, recipe.mode(&vgg))?;
    let number = |n: u64| if n == 0 { String::new() } else { grouped(n) };
    let header = ["layer", "kind", "output", "parameters", "MACs/image", "memory"];
    let mut table = Table::new(3, header);
    for row in plan.rows() {
        table.row([
            row.name.clone(),
            row.kind.clone(),
            row.output.map(|shape| shape.to_string()).unwrap_or_default(),
            number(row.params as u64),
            number(row.macs),
            if row.bytes == 0 { String::new() } else { bytes(row.bytes) },
        ]);
    }
    table.rule();
    table.row([
        "total".into(),
        String::new(),
        String::new(),
        grouped(vgg.param_count() as u64),
        grouped(vgg.macs()),
        bytes(plan.bytes()),
    ]);
    Ok(table.lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_network() {
        let mut config = Config::default();
        config.model.width = 0.25;
        insta::assert_snapshot!(table(&config).unwrap().join("\n"), @r#"
        layer         kind                            output          parameters   MACs/image     memory
        ────────────────────────────────────────────────────────────────────────────────────────────────
        images        resize 28×28, normalise         128×1×224×224                             24.6 MiB
        features.0    conv 3×3 + relu + max-pool 2×2  128×16×112×112         160    7 225 344  110.3 MiB
        features.3    conv 3×3 + relu + max-pool 2×2  128×32×56×56         4 640   57 802 752   55.2 MiB
        features.6    conv 3×3 + relu                 128×64×56×56        18 496   57 802 752  101.2 MiB
        features.8    conv 3×3 + relu + max-pool 2×2  128×64×28×28        36 928  115 605 504   27.8 MiB
        features.11   conv 3×3 + relu                 128×128×28×28       73 856   57 802 752   51.1 MiB
        features.13   conv 3×3 + relu + max-pool 2×2  128×128×14×14      147 584  115 605 504   14.9 MiB
        features.16   conv 3×3 + relu                 128×128×14×14      147 584   28 901 376   13.8 MiB
        features.18   conv 3×3 + relu + max-pool 2×2  128×128×7×7        147 584   28 901 376    4.6 MiB
        classifier.0  linear + relu                   128×4096        25 694 208   25 690 112  100.1 MiB
        classifier.2  dropout 0.5                     128×4096
        classifier.3  linear + relu                   128×4096        16 781 312   16 777 216   66.1 MiB
        classifier.5  dropout 0.5                     128×4096
        classifier.6  linear                          128×10              40 970       40 960  165.1 KiB
        gradients                                                                              147.0 MiB
        ────────────────────────────────────────────────────────────────────────────────────────────────
        total                                                         43 093 322  512 155 648  716.7 MiB
        "#);
    }
}
