//! `aux` buffers: small numbers of 1, 4 or 8 bits each, in the order of the outputs.

/// Writes number `index`. `bits` divides 8.
pub(super) fn put(aux: &mut [u8], bits: usize, index: usize, value: u8) {
    let (byte, shift) = (index * bits / 8, index * bits % 8);
    let mask = ((1 << bits) - 1) as u8;
    aux[byte] = aux[byte] & !(mask << shift) | value << shift;
}

/// Reads number `index`. `bits` divides 8.
pub(super) fn get(aux: &[u8], bits: usize, index: usize) -> u8 {
    let (byte, shift) = (index * bits / 8, index * bits % 8);
    aux[byte] >> shift & ((1 << bits) - 1) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_disturb_each_other() {
        for bits in [1, 4, 8] {
            let value = |index: usize| (index * 7 % (1 << bits)) as u8;
            let mut aux = vec![0xFF; 24 * bits / 8];
            (0..24).for_each(|index| put(&mut aux, bits, index, value(index)));
            (0..24).for_each(|index| assert_eq!(get(&aux, bits, index), value(index)));
        }
    }
}
