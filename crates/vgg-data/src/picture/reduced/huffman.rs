//! Huffman codes, and the bits that they are in.

/// Bits that a code is looked up by; longer ones are few.
const LOOKED_UP: u32 = 10;
const LONGEST: usize = 16;

/// A code that is looked up.
#[derive(Clone, Copy, Default)]
struct Short {
    /// Its bits; none where the code is longer.
    len: u8,
    symbol: u8,
    /// Its bits and those of the number after it.
    both: u8,
    /// Coefficients from one that it is of to the next.
    step: u8,
}

/// A table of codes.
pub(super) struct Codes {
    /// By a code's first bits.
    short: [Short; 1 << LOOKED_UP],
    /// By length, the first code that is too large to have it, with zeros after it to [`LONGEST`] bits.
    ends: [u32; LONGEST + 1],
    /// By length, what a code of it is more than the place of its symbol.
    offsets: [u32; LONGEST + 1],
    symbols: Vec<u8>,
}

impl Codes {
    /// The codes of which there are so many of each length, from 1 on. None if there is no room for
    /// them.
    pub(super) fn new(counts: &[u8; LONGEST], symbols: &[u8]) -> Option<Self> {
        let symbols = symbols.to_vec();
        let (mut short, mut code, mut place) = ([Short::default(); 1 << LOOKED_UP], 0_u32, 0_u32);
        let (mut ends, mut offsets) = ([0; LONGEST + 1], [0; LONGEST + 1]);
        for (len, count) in (1_u32..).zip(counts) {
            let first = code;
            for _ in 0..*count {
                let symbol = *symbols.get(place as usize)?;
                if len <= LOOKED_UP {
                    let from = (code << (LOOKED_UP - len)) as usize;
                    let entries = short.get_mut(from..from + (1 << (LOOKED_UP - len)))?;
                    let len = len as u8;
                    entries.fill(Short {
                        len,
                        symbol,
                        both: len + (symbol & 15),
                        step: step(symbol),
                    });
                }
                (code, place) = (code + 1, place + 1);
            }
            if code > 1 << len {
                return None;
            }
            ends[len as usize] = code << (LONGEST as u32 - len);
            offsets[len as usize] = (first + u32::from(*count)).wrapping_sub(place);
            code <<= 1;
        }
        Some(Self { short, ends, offsets, symbols })
    }
}

/// Coefficients from one to the next, which a symbol is of; all that there are after the last.
fn step(symbol: u8) -> u8 {
    match symbol {
        0xf0 => 16,
        _ if symbol & 15 == 0 => 64,
        _ => (symbol >> 4) + 1,
    }
}

/// Bits of compressed data, the first one highest.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The byte that comes after those in `ahead`.
    at: usize,
    ahead: u64,
    /// How many of `ahead` are known to be there.
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, ahead: 0, count: 0 }
    }

    /// Makes sure that there are the bits of a code and of a number; after the end they are zeros.
    #[inline]
    pub(super) fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(word) = self.data.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let word = u64::from_be_bytes(*word);
            if !has_ff(word) {
                // Of the byte that is in it in part, the next time adds the same bits.
                self.ahead |= word >> self.count;
                let bytes = (63 - self.count) / 8;
                self.at += bytes as usize;
                self.count += 8 * bytes;
                return;
            }
        }
        self.fill_by_bytes();
    }

    #[cold]
    fn fill_by_bytes(&mut self) {
        while self.count <= 56 {
            let (byte, len) = match self.data.get(self.at..) {
                // A zero follows each ff that is no marker.
                Some([0xff, 0, ..]) => (0xff, 2),
                Some([0xff, ..]) | Some([]) | None => (0, 0),
                Some([byte, ..]) => (*byte, 1),
            };
            self.ahead |= u64::from(byte) << (56 - self.count);
            self.at += len;
            self.count += 8;
        }
    }

    #[inline]
    fn pass(&mut self, bits: u32) {
        self.ahead <<= bits;
        self.count -= bits;
    }

    /// The symbol of the next code, after [`Bits::fill`]. None if there is no such code.
    #[inline]
    pub(super) fn symbol(&mut self, codes: &Codes) -> Option<u8> {
        let short = codes.short[(self.ahead >> (64 - LOOKED_UP)) as usize];
        if short.len > 0 {
            self.pass(short.len.into());
            return Some(short.symbol);
        }
        self.long_symbol(codes)
    }

    #[cold]
    fn long_symbol(&mut self, codes: &Codes) -> Option<u8> {
        let next = (self.ahead >> (64 - LONGEST)) as u32;
        let len = (LOOKED_UP as usize + 1..=LONGEST).find(|len| next < codes.ends[*len])?;
        let code = next >> (LONGEST - len);
        self.pass(len as u32);
        let place = code.wrapping_sub(codes.offsets[len]);
        codes.symbols.get(place as usize).copied()
    }

    /// The next number of up to 16 bits, of which the first says whether it is above zero.
    #[inline]
    pub(super) fn number(&mut self, bits: u32) -> i32 {
        if bits == 0 {
            return 0;
        }
        let number = (self.ahead >> (64 - bits)) as i32;
        self.pass(bits);
        match number >> (bits - 1) {
            0 => number - (1 << bits) + 1,
            _ => number,
        }
    }

    /// Passes over a coefficient, after [`Bits::fill`]: how many there are to the next one.
    #[inline]
    pub(super) fn pass_coefficient(&mut self, codes: &Codes) -> Option<usize> {
        let short = codes.short[(self.ahead >> (64 - LOOKED_UP)) as usize];
        if short.len > 0 {
            self.pass(short.both.into());
            return Some(short.step.into());
        }
        let symbol = self.long_symbol(codes)?;
        self.pass(u32::from(symbol & 15));
        Some(step(symbol).into())
    }

    /// Goes on after a marker that restarts. None if the next one is another.
    pub(super) fn restart(&mut self) -> Option<()> {
        let rest = self.data.get(self.at..)?;
        let is_marker = |pair: &[u8]| pair[0] == 0xff && pair[1] != 0 && pair[1] != 0xff;
        let found = rest.windows(2).position(is_marker)?;
        if !matches!(rest[found + 1], 0xd0..=0xd7) {
            return None;
        }
        *self = Self { at: self.at + found + 2, ..Self::new(self.data) };
        Some(())
    }
}

/// Whether one of eight bytes is ff.
fn has_ff(word: u64) -> bool {
    const LOW: u64 = u64::from_ne_bytes([1; 8]);
    (!word).wrapping_sub(LOW) & word & (LOW << 7) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes 0, 10, 110, …, and one of 12 bits.
    #[test]
    fn codes_and_numbers_come_in_their_order() {
        let mut counts = [1; LONGEST];
        counts[11..].fill(0);
        counts[11] = 2;
        let symbols: Vec<u8> = (1..=13).collect();
        let codes = Codes::new(&counts, &symbols).unwrap();
        // 0, 110 with 101, 1111_1111_1111 with 0, 10, and what is no more there: zeros.
        let bits = "0 110 101 111111111111 0 10".replace(' ', "");
        let bytes: Vec<u8> = bits
            .as_bytes()
            .chunks(8)
            .flat_map(|byte| {
                let byte =
                    byte.iter().enumerate().fold(0, |all, (i, bit)| all | (bit - b'0') << (7 - i));
                if byte == 0xff { vec![byte, 0] } else { vec![byte] }
            })
            .collect();
        let mut reader = Bits::new(&bytes);
        let mut next = |number: u32| {
            reader.fill();
            (reader.symbol(&codes), reader.number(number))
        };
        assert_eq!(next(0), (Some(1), 0));
        assert_eq!(next(3), (Some(3), 5));
        assert_eq!(next(1), (Some(13), -1));
        assert_eq!(next(0), (Some(2), 0));
        assert_eq!(next(0), (Some(1), 0));
    }

    #[test]
    fn there_are_only_so_many_codes() {
        assert!(Codes::new(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0; 3]).is_none());
        assert!(Codes::new(&[1; 16], &[0; 3]).is_none());
    }

    #[test]
    fn an_ff_is_found_wherever_it_is() {
        for at in 0..8 {
            let mut bytes = [0xfe, 0, 1, 0x7f, 0x80, 0xfe, 3, 0];
            assert!(!has_ff(u64::from_be_bytes(bytes)));
            bytes[at] = 0xff;
            assert!(has_ff(u64::from_be_bytes(bytes)));
        }
    }
}
