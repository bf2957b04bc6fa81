//! The points of a line: where it has gaps, and which of very many are drawn.

use super::axis::Scale;

/// Points in px, connected; and with their values.
pub(super) type Stretch = Vec<Point>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub at: (f64, f64),
    pub value: (f64, f64),
}

/// The stretches of a line. What is not a number is a gap.
///
/// Of the points in a column of a pixel there are drawn the first and the last, the lowest and the
/// highest, which look as all of them do: a gap that is narrower than a column is not seen.
pub(super) fn stretches(points: &[(f64, f64)], x: &Scale, y: &Scale) -> Vec<Stretch> {
    let mut stretches = vec![vec![]];
    let mut column: Vec<Point> = vec![];
    let mut is_gap = false;
    for &value in points {
        let Some(at) = x.at(value.0).zip(y.at(value.1)) else {
            is_gap = true;
            continue;
        };
        let is_next = column.last().is_some_and(|last: &Point| last.at.0.floor() != at.0.floor());
        if is_next {
            end_column(&mut column, &mut stretches);
        }
        if is_gap && (is_next || column.is_empty()) {
            stretches.push(vec![]);
        }
        is_gap = false;
        column.push(Point { at, value });
    }
    end_column(&mut column, &mut stretches);
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

/// Draws the points of a column.
fn end_column(column: &mut Vec<Point>, stretches: &mut [Stretch]) {
    let by_height = |a: &usize, b: &usize| column[*a].at.1.total_cmp(&column[*b].at.1);
    let kept = [
        Some(0),
        (0..column.len()).min_by(by_height),
        (0..column.len()).max_by(by_height),
        column.len().checked_sub(1),
    ];
    let is_kept = |index: usize| kept.contains(&Some(index));
    let drawn = (0..column.len()).filter(|index| is_kept(*index)).map(|index| column[index]);
    stretches.last_mut().expect("there is one from the start").extend(drawn);
    column.clear();
}
