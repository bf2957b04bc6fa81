//! 3×3 convolutions by Winograd's F(4×4, 3×3), with channels innermost.
//!
//! The output is tiled by 4×4. For a [block](block::Block) of tiles, each point of the transformed
//! tiles is a matrix product over the channels:
//! - forward: `V = Bᵀ x B`, `M[p] = V[p] · U[p]` with the filters' transform U, `y = Aᵀ M A` and the
//!   epilogue ([`mod@forward`]);
//! - backward, in one pass: V again, `dM = A dy Aᵀ` straight from the pooled gradient and `aux`,
//!   `dU[p] += V[p]ᵀ · dM[p]`, `dV[p] = dM[p] · U[p]ᵀ`, `dx += B dV Bᵀ` ([`mod@backward`]).

mod algebra;
mod backward;
mod block;
mod blocking;
mod filters;
mod forward;
mod input;
mod output;
mod patch;
mod points;
#[cfg(test)]
mod tests;
mod tiles;
mod transform;

use patch::Patch;

pub(crate) use algebra::Interpolation;
pub(super) use backward::{backward, backward_needs};
pub(super) use blocking::Blocking;
pub(super) use forward::{forward, forward_needs};
