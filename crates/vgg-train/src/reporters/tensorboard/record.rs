//! Records as TensorFlow frames them (its `record_writer.cc`): a length, the bytes, and checksums of
//! both, so that a reader knows a record that is not whole yet from one that is damaged.

/// `data` as a record: its length, that number's checksum, the data and their checksum, all little
/// endian.
pub(super) fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length), data, &checksum(data)].concat()
}

/// The CRC-32C, masked: a checksum of what holds checksums would be weak.
fn checksum(data: &[u8]) -> [u8; 4] {
    const DELTA: u32 = 0xa282_ead8;
    crc32c::crc32c(data).rotate_right(15).wrapping_add(DELTA).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As TensorBoard's own `RecordWriter` writes them.
    #[test]
    fn records_are_tensorboards() {
        let empty = b"\0\0\0\0\0\0\0\0\x29\x03\x98\x07\xd8\xea\x82\xa2";
        assert_eq!(record(b""), empty);
        let version = b"\x0d\0\0\0\0\0\0\0\x3c\x37\xb8\x34brain.Event:2\xee\x01\x06\x7c";
        assert_eq!(record(b"brain.Event:2"), version);
    }

    /// RFC 3720, appendix B.4.
    #[test]
    fn checksums_are_castagnolis() {
        for (data, crc) in [
            (&[0; 32][..], 0x8a91_36aa_u32),
            (&[0xff; 32], 0x62a8_ab43),
            (&std::array::from_fn::<u8, 32, _>(|i| i as u8), 0x46dd_794e),
        ] {
            assert_eq!(crc32c::crc32c(data), crc);
        }
    }
}
