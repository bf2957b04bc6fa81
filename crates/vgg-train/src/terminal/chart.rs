//! A line as a picture of letters, each of which has 2×4 dots.

/// Dots of a letter across and down.
const DOTS: [usize; 2] = [2, 4];

/// A letter without dots; the bits from its lowest on are those that [`BITS`] says.
const BLANK: u32 = 0x2800;

/// The bit of each dot of a letter, row by row.
const BITS: [[u32; 2]; 4] = [[0, 3], [1, 4], [2, 5], [6, 7]];

/// A line between two axes.
pub(crate) struct Chart<'a> {
    /// Letters of the plot across and down.
    pub size: [usize; 2],
    /// x and y, by rising x. What is above or below the plot is drawn at its edge.
    pub points: &'a [(f64, f64)],
    /// The values of y at the bottom and at the top, and how they are written.
    pub y: [(f64, String); 2],
    /// Values of x that are named below, as far as there is room.
    pub x_ticks: &'a [(f64, String)],
    /// Where a vertical line is, if there is one.
    pub mark: Option<f64>,
}

impl Chart<'_> {
    /// Its lines; of fewer than two points, none.
    pub(crate) fn lines(&self) -> Vec<String> {
        let ([width, height], points) = (self.size, self.points);
        let [(low, bottom), (high, top)] = &self.y;
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return vec![] };
        if first.0 >= last.0 || low >= high {
            return vec![];
        }
        let column = |x: f64| {
            let share = (x - first.0) / (last.0 - first.0);
            let at = (share * (width - 1) as f64).round();
            (0.0..width as f64).contains(&at).then_some(at as usize)
        };
        let mark = self.mark.and_then(column);
        let margin = bottom.chars().count().max(top.chars().count());
        let mut lines = Vec::new();
        for (row, letters) in self.letters(*low, *high).iter().enumerate() {
            let label = match row {
                0 => &**top,
                row if row + 1 == height => &**bottom,
                _ => "",
            };
            let axis = if label.is_empty() { '│' } else { '┤' };
            let letter = |(at, letter): (usize, &u32)| match *letter {
                0 if mark == Some(at) => '┊',
                0 => ' ',
                bits => char::from_u32(BLANK + bits).unwrap_or(' '),
            };
            let plot: String = letters.iter().enumerate().map(letter).collect();
            lines.push(format!("{label:>margin$} {axis}{plot}").trim_end().to_owned());
        }
        let (mut axis, mut names) = (vec!['─'; width], String::new());
        for (x, name) in self.x_ticks {
            let Some(at) = column(*x) else { continue };
            axis[at] = '┬';
            let begin = at.saturating_sub(name.chars().count() / 2);
            let room = names.chars().count();
            if room == 0 || begin > room {
                names += &" ".repeat(begin - room);
                names += name;
            }
        }
        lines.push(format!("{:margin$} └{}", "", axis.into_iter().collect::<String>()));
        lines.push(format!("{:margin$}  {names}", ""));
        lines
    }

    /// The bits of each letter, row by row.
    fn letters(&self, low: f64, high: f64) -> Vec<Vec<u32>> {
        let [width, height] = self.size;
        let mut letters = vec![vec![0; width]; height];
        let [across, down] = [width * DOTS[0], height * DOTS[1]];
        let (from, to) = (self.points[0].0, self.points[self.points.len() - 1].0);
        let row = |y: f64| {
            let share = ((high - y) / (high - low)).clamp(0.0, 1.0);
            (share * (down - 1) as f64).round() as usize
        };
        let mut last = None;
        for column in 0..across {
            let x = from + (to - from) * column as f64 / (across - 1) as f64;
            let here = row(between(self.points, x));
            // From the row before, so that the line has no gaps.
            let before = last.replace(here).unwrap_or(here);
            let rows = match before < here {
                true => before + 1..=here,
                false => here..=before.saturating_sub(1).max(here),
            };
            for row in rows {
                let bit = BITS[row % DOTS[1]][column % DOTS[0]];
                letters[row / DOTS[1]][column / DOTS[0]] |= 1 << bit;
            }
        }
        letters
    }
}

/// The line's y at x, which is between the first and the last point.
fn between(points: &[(f64, f64)], x: f64) -> f64 {
    let next = points.partition_point(|point| point.0 < x).clamp(1, points.len() - 1);
    let [(x0, y0), (x1, y1)] = [points[next - 1], points[next]];
    match x1 > x0 {
        true => y0 + (y1 - y0) * ((x - x0) / (x1 - x0)).clamp(0.0, 1.0),
        false => y1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_axes_names_and_a_mark() {
        let points: Vec<_> = (0..=40).map(f64::from).map(|x| (x, (x - 20.0).powi(2))).collect();
        let ticks = [0.0, 4.0, 20.0, 40.0, 50.0].map(|x| (x, format!("{x}")));
        let chart = Chart {
            size: [24, 5],
            points: &points,
            y: [(0.0, "0".into()), (400.0, "400".into())],
            x_ticks: &ticks,
            mark: Some(20.0),
        };
        insta::assert_snapshot!(chart.lines().join("\n"), @r"
        400 ┤⠱⡀          ┊         ⢀⠜
            │ ⠘⢄         ┊        ⡠⠊
            │   ⠱⡀       ┊      ⢀⠜
            │    ⠈⠢⢄     ┊    ⡠⠔⠁
          0 ┤       ⠑⠢⠤⣀⣀⣀⣀⠤⠔⠊
            └┬─┬─────────┬──────────┬
             0 4        20         40
        ");
        let flat = Chart { points: &[(1.0, 2.0)], ..chart };
        assert!(flat.lines().is_empty());
    }

    #[test]
    fn what_is_outside_is_at_the_edge() {
        let points = [(0.0, -9.0), (1.0, 0.5), (2.0, 1e30)];
        let y = [(0.0, String::new()), (1.0, String::new())];
        let chart = Chart { size: [2, 1], points: &points, y, x_ticks: &[], mark: None };
        let lines = chart.lines();
        assert_eq!(lines[1..], [" └──".to_owned(), "  ".to_owned()]);
        assert!(lines[0].starts_with(" │⣀") || lines[0].contains('⡀'), "{lines:?}");
    }
}
