//! The network: its layers, and the filters of the first one.

use maud::{Markup, html};

use super::Section;
use crate::report::network::NetworkFacts;
use crate::terminal::numbers::grouped;

pub(super) fn section(network: &NetworkFacts) -> Section {
    let content = html! {
        (layers(network))
        @if let Some(filters) = &network.filters {
            h3 { "Filters of the first convolution" }
            p.faint {
                "Each of the " (filters.count) " filters, " (filters.kernel) "×" (filters.kernel)
                @if filters.colour { ", in its colours" } @else { ", dark for weights below zero, light above" }
                ", on a scale of its own."
            }
            img.coarse.filters src=(filters.uri) width=(filters.width) height=(filters.height)
                alt=(format!("{} filters in rows", filters.count));
        }
    };
    Section { id: "network", title: "Network", content }
}

fn layers(network: &NetworkFacts) -> Markup {
    let timed = network.layers.iter().any(|layer| layer.milliseconds.is_some());
    html! {
        div.scroll { table.sortable {
            thead { tr {
                th { "layer" } th.left { "kind" } th { "output" } th { "parameters" } th { "multiply-adds" }
                @if timed { th { "ms a step" } }
            } }
            tbody { @for layer in &network.layers { tr {
                td { (layer.name) }
                td.left { (layer.kind) }
                td { (layer.output) }
                td data-value=(layer.params) { @if layer.params > 0 { (grouped(layer.params)) } }
                td data-value=(layer.macs) { @if layer.macs > 0 { (grouped(layer.macs)) } }
                @if timed { td { @if let Some(time) = layer.milliseconds { (format!("{time:.3}")) } } }
            } } }
            tfoot { tr {
                td { "all" } td {} td {}
                td { (grouped(network.params)) }
                td { (grouped(network.macs)) }
                @if timed { td { (format!("{:.3}", network.layers.iter().filter_map(|it| it.milliseconds).sum::<f64>())) } }
            } }
            caption {
                "Outputs and multiply-adds are of one image"
                @if let Some(profile) = &network.profile { "; times are those of " code { (profile) } ", forward and backward" }
                "."
            }
        } }
    }
}
