//! JPEGs as cameras write them: sequential, with Huffman codes and all colours in one scan.

use super::huffman::{Bits, Codes};
use super::transform::Shares;

/// The order of a block's coefficients in the file.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// A file's header, and the data of its scan.
pub(super) struct Baseline<'a> {
    /// Height and width.
    pub size: [usize; 2],
    /// Brightness alone, or with two differences of colour.
    components: Vec<Component>,
    quantizers: [Option<[i32; 64]>; 4],
    codes: [[Option<Codes>; 4]; 2],
    /// Units between markers that restart; none if 0.
    interval: usize,
    data: &'a [u8],
}

#[derive(Clone, Copy)]
struct Component {
    id: u8,
    /// Blocks of a unit, down and across.
    blocks: [usize; 2],
    quantizer: usize,
    /// Of the first coefficient, and of the others.
    codes: [usize; 2],
}

const DC: usize = 0;
const AC: usize = 1;

impl<'a> Baseline<'a> {
    /// The header of a JPEG. None if it is of another kind, or damaged.
    pub(super) fn read(jpeg: &'a [u8]) -> Option<Self> {
        let mut header = Self {
            size: [0, 0],
            components: vec![],
            quantizers: [None; 4],
            codes: Default::default(),
            interval: 0,
            data: &[],
        };
        let mut rest = jpeg.get(2..)?;
        loop {
            // Whatever is between segments.
            let at =
                rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
            let (marker, after) = (rest[at + 1], &rest[at + 2..]);
            let len = usize::from(u16::from_be_bytes(*after.first_chunk()?));
            let contents = after.get(2..len)?;
            rest = &after[len..];
            match marker {
                0xc0 | 0xc1 => header.frame(contents)?,
                0xc4 => header.codes(contents)?,
                0xdb => header.quantizers(contents)?,
                0xdd => header.interval = u16::from_be_bytes(*contents.first_chunk()?).into(),
                0xda => {
                    header.scan(contents)?;
                    header.data = rest;
                    return Some(header);
                }
                // Other ways to code, and red, green and blue.
                0xc2..=0xcf => return None,
                0xee if contents.starts_with(b"Adobe") && contents.get(11) == Some(&0) => {
                    return None;
                }
                _ => {}
            }
        }
    }

    fn frame(&mut self, contents: &[u8]) -> Option<()> {
        let [precision, h1, h0, w1, w0, count, components @ ..] = contents else { return None };
        let side = |high: &u8, low: &u8| usize::from(u16::from_be_bytes([*high, *low]));
        self.size = [side(h1, h0), side(w1, w0)];
        let is_first = self.components.is_empty();
        let components = components.as_chunks::<3>().0;
        if !is_first || *precision != 8 || components.len() != usize::from(*count) {
            return None;
        }
        for [id, blocks, quantizer] in components {
            let blocks = [blocks & 15, blocks >> 4].map(usize::from);
            let quantizer = usize::from(*quantizer);
            if !blocks.iter().all(|n| (1..=4).contains(n)) || quantizer > 3 {
                return None;
            }
            self.components.push(Component { id: *id, blocks, quantizer, codes: [0; 2] });
        }
        match &mut self.components[..] {
            // What is alone in a scan has units of one block.
            [one] => one.blocks = [1, 1],
            [a, b, c] if [a.id, b.id, c.id] != *b"RGB" => {}
            _ => return None,
        }
        (self.size[0] > 0 && self.size[1] > 0).then_some(())
    }

    fn codes(&mut self, mut contents: &[u8]) -> Option<()> {
        while let [which, after @ ..] = contents {
            let counts: &[u8; 16] = after.first_chunk()?;
            let symbols = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
            let symbols = after.get(16..16 + symbols)?;
            let (class, place) = (usize::from(which >> 4), usize::from(which & 15));
            *self.codes.get_mut(class)?.get_mut(place)? = Some(Codes::new(counts, symbols)?);
            contents = &after[16 + symbols.len()..];
        }
        Some(())
    }

    fn quantizers(&mut self, mut contents: &[u8]) -> Option<()> {
        while let [which, after @ ..] = contents {
            let mut quantizer = [0; 64];
            let len = match which >> 4 {
                0 => 64,
                _ => 128,
            };
            let numbers = after.get(..len)?;
            for (i, number) in quantizer.iter_mut().enumerate() {
                *number = match len {
                    64 => numbers[i].into(),
                    _ => u16::from_be_bytes([numbers[2 * i], numbers[2 * i + 1]]).into(),
                };
            }
            *self.quantizers.get_mut(usize::from(which & 15))? = Some(quantizer);
            contents = &after[len..];
        }
        Some(())
    }

    fn scan(&mut self, contents: &[u8]) -> Option<()> {
        let [count, components @ ..] = contents else { return None };
        let (components, after) = components.split_at_checked(2 * usize::from(*count))?;
        let own = &mut self.components;
        if own.is_empty() || own.len() != usize::from(*count) || after != [0, 63, 0] {
            return None;
        }
        for (component, [id, codes]) in own.iter_mut().zip(components.as_chunks::<2>().0) {
            component.codes = [codes >> 4, codes & 15].map(usize::from);
            if component.id != *id || component.codes.iter().any(|place| *place > 3) {
                return None;
            }
        }
        Some(())
    }

    /// The pixels at so many eighths of the size, 1, 2 or 4: `[h, w, c]`, both sides rounded up, and
    /// the channels. Differences of colour have the same size, whatever they are stored at.
    pub(super) fn decode(&self, eighths: usize) -> Option<(Vec<u8>, usize)> {
        let most = [0, 1].map(|axis| {
            self.components.iter().map(|component| component.blocks[axis]).max().unwrap_or(1)
        });
        let units = [0, 1].map(|axis| self.size[axis].div_ceil(8 * most[axis]));
        let [rows, stride] = [0, 1].map(|axis| units[axis] * most[axis] * eighths);
        let mut planes = self.components.iter().map(|component| {
            let block = [0, 1].map(|axis| {
                let times = most[axis] / component.blocks[axis];
                let exact = times * component.blocks[axis] == most[axis];
                (exact && times.is_power_of_two()).then_some(eighths * times).filter(|n| *n <= 8)
            });
            let block = [block[0]?, block[1]?];
            let [dc, ac] = [DC, AC].map(|class| self.codes[class][component.codes[class]].as_ref());
            Some(Plane {
                pixels: vec![0; rows * stride],
                block,
                blocks: component.blocks,
                shares: Shares::new(block),
                quantizer: self.quantizers[component.quantizer].as_ref()?,
                codes: [dc?, ac?],
                kept: kept(block),
                before: 0,
                coefficients: [0; 64],
            })
        });
        let mut planes = planes.by_ref().collect::<Option<Vec<_>>>()?;
        let mut bits = Bits::new(self.data);
        for unit in 0..units[0] * units[1] {
            if self.interval > 0 && unit > 0 && unit.is_multiple_of(self.interval) {
                bits.restart()?;
                planes.iter_mut().for_each(|plane| plane.before = 0);
            }
            let [down, across] = [unit / units[1], unit % units[1]];
            for plane in &mut planes {
                for block in 0..plane.blocks[0] * plane.blocks[1] {
                    let y = down * plane.blocks[0] + block / plane.blocks[1];
                    let x = across * plane.blocks[1] + block % plane.blocks[1];
                    plane.read(&mut bits, [y, x], stride)?;
                }
            }
        }
        let [h, w] = self.size.map(|side| (side * eighths).div_ceil(8));
        let rows = |plane: usize| planes[plane].pixels.chunks_exact(stride).take(h);
        let pixels = match planes.len() {
            1 => rows(0).flat_map(|row| &row[..w]).copied().collect(),
            _ => {
                let mut pixels = vec![0; h * w * 3];
                let from = rows(0).zip(rows(1)).zip(rows(2));
                for (((y, cb), cr), out) in from.zip(pixels.chunks_exact_mut(3 * w)) {
                    for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
                        *out = rgb(y[i], cb[i], cr[i]);
                    }
                }
                pixels
            }
        };
        Some((pixels, planes.len()))
    }
}

/// One component's pixels, and what they are made of.
struct Plane<'a> {
    pixels: Vec<u8>,
    /// Pixels of a block, down and across.
    block: [usize; 2],
    /// Blocks of a unit, down and across.
    blocks: [usize; 2],
    shares: Shares,
    quantizer: &'a [i32; 64],
    codes: [&'a Codes; 2],
    /// How many coefficients of the file's order may count.
    kept: usize,
    /// The first coefficient of the block before.
    before: i32,
    /// Of a block, in rows; none but the first between two.
    coefficients: [i32; 64],
}

/// How many coefficients, in the file's order, there are up to the last that such a block has room for.
fn kept([down, across]: [usize; 2]) -> usize {
    let has_room = |at: &usize| at / 8 < down && at % 8 < across;
    ZIGZAG.iter().rposition(has_room).map_or(1, |last| last + 1)
}

impl Plane<'_> {
    /// Reads the next block, the one at these numbers of blocks down and across.
    fn read(&mut self, bits: &mut Bits<'_>, [y, x]: [usize; 2], stride: usize) -> Option<()> {
        let [dc, ac] = self.codes;
        bits.fill();
        let len = u32::from(bits.symbol(dc)?);
        if len > 16 {
            return None;
        }
        self.before = self.before.wrapping_add(bits.number(len));
        self.coefficients[0] = self.before.wrapping_mul(self.quantizer[0]);
        let mut at = 1;
        while at < self.kept {
            bits.fill();
            let symbol = bits.symbol(ac)?;
            let (zeros, len) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            match (zeros, len) {
                (15, 0) => {}
                (_, 0) => {
                    at = 64;
                    break;
                }
                _ => {
                    let number = bits.number(len);
                    let place = at + zeros;
                    let quantizer = self.quantizer.get(place)?;
                    self.coefficients[ZIGZAG[place]] = number.wrapping_mul(*quantizer);
                }
            }
            at += zeros + 1;
        }
        while at < 64 {
            bits.fill();
            at += bits.pass_coefficient(ac)?;
        }
        let start = y * self.block[0] * stride + x * self.block[1];
        self.shares.write(&self.coefficients, &mut self.pixels[start..], stride);
        if self.kept > 1 {
            self.coefficients.fill(0);
        }
        Some(())
    }
}

/// Red, green and blue, in 16-bit fixed point, rounded.
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y) << 16, i32::from(cb) - 128, i32::from(cr) - 128);
    let sums = [y + 91_881 * cr, y - 22_554 * cb - 46_802 * cr, y + 116_130 * cb];
    sums.map(|sum| ((sum + 0x8000) >> 16).clamp(0, 255) as u8)
}
