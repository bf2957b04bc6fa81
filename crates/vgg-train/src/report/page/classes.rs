//! How well each class is recognised.

use maud::html;

use super::{Section, exact, percent, three};
use crate::config::BestBy;
use crate::drawing::matrix;
use crate::report::examined::Examined;
use crate::scores::ranking::Areas;
use crate::scores::scored::Scored;
use crate::terminal::numbers::grouped;

/// The confusion matrix, from which a cell leads to its images.
pub(super) fn confusion(examined: &Examined, best_by: BestBy) -> Section {
    let Examined { scored, cells, .. } = examined;
    let Scored { evaluation, names, .. } = scored;
    let shown = |row: usize, column: usize| {
        cells.iter().any(|cell| (cell.label, cell.predicted) == (row, column))
    };
    let link = |row, column| shown(row, column).then(|| format!("#cell-{row}-{column}"));
    let content = html! {
        p.about {
            (grouped(evaluation.images())) " images, seen by the best network" (best_by.words()) ", that of epoch "
            (examined.epoch) ": " b { (percent(evaluation.accuracy())) }
            " are recognised, loss " (format!("{:.4}", evaluation.loss()))
            ". Colours are shares of a row, which has all images of a class. A cell leads to its images."
        }
        figure.picture { (matrix::linked("confusion matrix", names, &evaluation.confusion, &link)) }
    };
    Section { id: "confusion", title: "Confusion", content }
}

/// Precision, recall, F1, support and areas of each class; the worst first, where there are many.
pub(super) fn table(examined: &Examined) -> Section {
    let Scored { names, evaluation, per_class, areas: of_classes, .. } = &examined.scored;
    let mut order: Vec<usize> = (0..names.len()).collect();
    let many = order.len() > 20;
    let f1 =
        |class: usize| per_class.classes[class].scores.map_or(f64::INFINITY, |scores| scores.f1);
    if many {
        order.sort_by(|a, b| f1(*a).total_cmp(&f1(*b)));
    }
    let areas = |class: usize| of_classes[class];
    let mean = Areas::macro_mean(of_classes);
    let images = evaluation.images();
    let content = html! {
        div.scroll.long { table.sortable {
            thead { tr {
                th { "class" } th { "precision" } th { "recall" } th { "F1" } th { "images" }
                th { "ROC area" } th { "average precision" }
            } }
            tbody { @for class in order {
                @let scores = per_class.classes[class].scores;
                tr {
                    td.wrap { (names[class]) }
                    @for value in [
                        scores.map(|it| it.precision),
                        scores.map(|it| it.recall),
                        scores.map(|it| it.f1),
                    ] { td data-value=(exact(value)) { (three(value)) } }
                    td data-value=(per_class.classes[class].support) { (grouped(per_class.classes[class].support)) }
                    @for value in [
                        areas(class).map(|it| it.auc),
                        areas(class).map(|it| it.average_precision),
                    ] { td data-value=(exact(value)) { (three(value)) } }
                }
            } }
            tfoot {
                @for (name, scores, areas) in [
                    ("mean of classes (macro)", per_class.macro_mean, mean),
                    ("weighted by images", per_class.weighted_mean, None),
                ] { tr {
                    td { (name) }
                    td { (three(scores.map(|it| it.precision))) }
                    td { (three(scores.map(|it| it.recall))) }
                    td { (three(scores.map(|it| it.f1))) }
                    td { (grouped(images)) }
                    td { (three(areas.map(|it| it.auc))) }
                    td { (three(areas.map(|it| it.average_precision))) }
                } }
            }
            caption {
                "Areas are those of each class against all others"
                @if many { "; the classes of the lowest F1 come first" }
                "."
            }
        } }
    };
    Section { id: "classes", title: "Classes", content }
}
