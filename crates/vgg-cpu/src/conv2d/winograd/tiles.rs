//! The tiles of a block, strip by strip.

use std::ops::Range;

use super::block::{Block, Strip};
use crate::simd::{Kernel, Simd};

/// Work on tiles of either size.
pub(super) trait TileWork {
    /// Does the tile of number `tile` in the block, in the given column of tiles.
    fn tile<S: Simd, const HALF_H: bool, const HALF_W: bool>(
        &mut self,
        s: S,
        strip: &Strip,
        column: usize,
        tile: usize,
    );
}

/// Does the tiles of some strips of a block, from left to right.
#[inline(always)]
pub(super) fn each_tile<S: Simd>(
    s: S,
    block: Block<'_>,
    strips: Range<usize>,
    work: &mut impl TileWork,
) {
    for index in strips {
        let strip = &block.strip(index);
        if strip.half_h {
            each_tile_of_strip::<S, true>(s, strip, work);
        } else {
            each_tile_of_strip::<S, false>(s, strip, work);
        }
    }
}

#[inline(always)]
fn each_tile_of_strip<S: Simd, const HALF_H: bool>(s: S, strip: &Strip, work: &mut impl TileWork) {
    let (tiles, column) = (strip.full_w.clone(), 0);
    s.vectorize(TilesOfASize::<_, HALF_H, false> { work, strip, column, tiles });
    if let Some(tile) = strip.half_w {
        let (tiles, column) = (tile..tile + 1, strip.full_w.len());
        s.vectorize(TilesOfASize::<_, HALF_H, true> { work, strip, column, tiles });
    }
}

/// Neighbours of a strip that have one size, in a function of their own: together, the sizes compete
/// for registers.
struct TilesOfASize<'k, W, const HALF_H: bool, const HALF_W: bool> {
    work: &'k mut W,
    strip: &'k Strip,
    /// The first one's.
    column: usize,
    /// Their numbers in the block.
    tiles: Range<usize>,
}

impl<W: TileWork, const HALF_H: bool, const HALF_W: bool> Kernel
    for TilesOfASize<'_, W, HALF_H, HALF_W>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (i, tile) in self.tiles.enumerate() {
            self.work.tile::<S, HALF_H, HALF_W>(s, self.strip, self.column + i, tile);
        }
    }
}
