//! The tiles of a block, row by row.

use std::ops::Range;

use super::block::Block;
use crate::simd::{Kernel, Simd};

/// A row of a block's tiles.
pub(super) struct Row {
    /// Its number among those of the batch.
    pub(super) row: usize,
    /// The image, and the first of its rows of outputs.
    pub(super) image: usize,
    pub(super) y: usize,
    /// Whether the tiles are half in height.
    pub(super) half_h: bool,
    /// The numbers of the tiles of full width, from the left on.
    pub(super) full_w: Range<usize>,
    /// The number of the one after them, if it is half in width.
    pub(super) half_w: Option<usize>,
}

/// Work on tiles of either size.
pub(super) trait TileWork {
    /// Does the tile of number `tile` in the block, in the given column of tiles.
    fn tile<S: Simd, const HALF_H: bool, const HALF_W: bool>(
        &mut self,
        s: S,
        row: &Row,
        column: usize,
        tile: usize,
    );
}

/// Does the tiles of some rows of a block, from left to right.
#[inline(always)]
pub(super) fn each_tile<S: Simd>(
    s: S,
    block: Block<'_>,
    rows: Range<usize>,
    work: &mut impl TileWork,
) {
    for row in rows {
        let row = &block.row(row);
        if row.half_h {
            each_tile_of_row::<S, true>(s, row, work);
        } else {
            each_tile_of_row::<S, false>(s, row, work);
        }
    }
}

#[inline(always)]
fn each_tile_of_row<S: Simd, const HALF_H: bool>(s: S, row: &Row, work: &mut impl TileWork) {
    let (tiles, column) = (row.full_w.clone(), 0);
    s.vectorize(TilesOfASize::<_, HALF_H, false> { work, row, column, tiles });
    if let Some(tile) = row.half_w {
        let (tiles, column) = (tile..tile + 1, row.full_w.len());
        s.vectorize(TilesOfASize::<_, HALF_H, true> { work, row, column, tiles });
    }
}

/// Neighbours of a row that have one size, in a function of their own: together, the sizes compete
/// for registers.
struct TilesOfASize<'k, W, const HALF_H: bool, const HALF_W: bool> {
    work: &'k mut W,
    row: &'k Row,
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
            self.work.tile::<S, HALF_H, HALF_W>(s, self.row, self.column + i, tile);
        }
    }
}
