//! Curves of fewer points.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// At most `most` points of a curve, but its ends in any case.
///
/// Again and again that point goes which spans the smallest triangle with its neighbours, the first of
/// equals: what it takes from the area below the curve, or adds to it, is the least that any would
/// (Visvalingam & Whyatt 1993). Points on a line go first.
pub(super) fn thinned(points: &[[f64; 2]], most: usize) -> Vec<[f64; 2]> {
    let n = points.len();
    // The neighbours that are left.
    let mut before: Vec<usize> = (0..n).map(|i| i.saturating_sub(1)).collect();
    let mut after: Vec<usize> = (1..=n).collect();
    let area = |before: usize, i: usize, after: usize| {
        let [a, b, c] = [before, i, after].map(|i| points[i]);
        let twice = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        // The bits of numbers that are not negative are in the order of the numbers.
        twice.abs().to_bits()
    };
    // Of the points that may go and have not.
    let mut areas = vec![None; n];
    let mut smallest = BinaryHeap::new();
    for i in 1..n.saturating_sub(1) {
        areas[i] = Some(area(i - 1, i, i + 1));
        smallest.push(Reverse((areas[i], i)));
    }
    let mut left = n;
    while left > most
        && let Some(Reverse((area_then, i))) = smallest.pop()
    {
        if areas[i].is_none() || areas[i] != area_then {
            // The point has gone, or has had another neighbour since.
            continue;
        }
        areas[i] = None;
        left -= 1;
        let (earlier, later) = (before[i], after[i]);
        (after[earlier], before[later]) = (later, earlier);
        for neighbour in [earlier, later] {
            if areas[neighbour].is_some() {
                areas[neighbour] = Some(area(before[neighbour], neighbour, after[neighbour]));
                smallest.push(Reverse((areas[neighbour], neighbour)));
            }
        }
    }
    let is_left = |i: usize| i == 0 || i + 1 == n || areas[i].is_some();
    (0..n).filter(|i| is_left(*i)).map(|i| points[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_a_line_goes_first_and_ends_stay() {
        let corner = [[0.0, 0.0], [0.0, 0.5], [0.0, 1.0], [0.5, 1.0], [0.75, 1.0], [1.0, 1.0]];
        assert_eq!(thinned(&corner, 6), corner);
        assert_eq!(thinned(&corner, 3), [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]);
        assert_eq!(thinned(&corner, 0), [[0.0, 0.0], [1.0, 1.0]]);
        assert_eq!(thinned(&corner[..1], 0), [[0.0, 0.0]]);
        assert_eq!(thinned(&[], 5), [[0.0; 2]; 0]);
    }

    #[test]
    fn a_point_is_weighed_with_the_neighbours_that_are_left() {
        // Twice the triangles: 0.15, 0.225 and 0.4; without the second point the third one has 0.6.
        let points = [[0.0, 0.0], [1.0, 0.975], [2.0, 1.8], [3.0, 2.4], [4.0, 2.6]];
        assert_eq!(thinned(&points, 4), [points[0], points[2], points[3], points[4]]);
        assert_eq!(thinned(&points, 3), [points[0], points[2], points[4]]);
    }
}
