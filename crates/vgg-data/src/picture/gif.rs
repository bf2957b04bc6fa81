//! The blocks of a GIF.

use std::io::{Read, Seek, SeekFrom};

use super::exif::array;

/// Whether the file has more than one frame. One that is cut has those before.
pub(super) fn is_animated(gif: &mut (impl Read + Seek)) -> bool {
    let mut frames = 0;
    let _ = count_frames(gif, &mut frames);
    frames > 1
}

/// Counts frames up to the second.
fn count_frames(gif: &mut (impl Read + Seek), frames: &mut usize) -> Option<()> {
    // Signature, height and width.
    gif.seek(SeekFrom::Start(10)).ok()?;
    let [flags, ..]: [u8; 3] = array(gif)?;
    pass_colours(gif, flags)?;
    while *frames < 2 {
        match array(gif)? {
            [b','] => {
                *frames += 1;
                let [.., flags]: [u8; 9] = array(gif)?;
                pass_colours(gif, flags)?;
                let [_code_size] = array(gif)?;
            }
            [b'!'] => {
                let [_label] = array(gif)?;
            }
            // The end, or damage.
            _ => return Some(()),
        }
        loop {
            let [len] = array(gif)?;
            if len == 0 {
                break;
            }
            gif.seek_relative(len.into()).ok()?;
        }
    }
    Some(())
}

/// Passes over a table of colours, if the flags say that there is one.
fn pass_colours(gif: &mut impl Seek, flags: u8) -> Option<()> {
    match flags & 0x80 {
        0 => Some(()),
        _ => gif.seek_relative(3 << ((flags & 7) + 1)).ok(),
    }
}
