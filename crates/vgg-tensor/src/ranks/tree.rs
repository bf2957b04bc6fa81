//! The order in which the shards of a batch are added.

use std::ops::Range;

/// A binary tree over the shards of a batch: in which order what they have is added, whoever has it.
///
/// A node of several leaves is the sum of its halves, of which the left one has one leaf less if their
/// number is odd. Leaves that have nothing, the last ones of a short batch, are skipped: a zero in their
/// place would make `0.0` of `−0.0`. So the sum is one function of the leaves. Ranks that have leaves side
/// by side add up those whole subtrees that they have, and what is left to add is the same for all.
///
/// ```
/// use vgg_tensor::ranks::Tree;
/// let tree = Tree::new(4, 3);
/// // The first two leaves are a whole subtree, and so is the third one, whose sister has nothing.
/// assert_eq!(tree.cover(0..3), [0..3]);
/// assert_eq!(tree.cover(1..4), [1..2, 2..3]);
/// let leaves = ["a", "b", "c"];
/// let leaf = |node: &std::ops::Range<usize>| (node.len() == 1).then(|| leaves[node.start].into());
/// let sum = tree.sum(leaf, |left, right| format!("({left} + {right})"));
/// assert_eq!(sum.unwrap(), "((a + b) + c)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tree {
    leaves: usize,
    present: usize,
}

/// A step of a rank through its leaves, on a stack of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    /// A leaf is put onto the stack.
    Leaf(usize),
    /// The upper two sums become one.
    Add,
}

impl Tree {
    /// A tree of so many leaves, of which the first `present` have something.
    ///
    /// # Panics
    /// If more are present than there are.
    pub const fn new(leaves: usize, present: usize) -> Self {
        assert!(present <= leaves, "more leaves are present than there are");
        Self { leaves, present }
    }

    /// The fewest whole subtrees that are the present ones of the leaves `own`, in their order.
    pub fn cover(&self, own: Range<usize>) -> Vec<Range<usize>> {
        let mut stack: Vec<Range<usize>> = Vec::new();
        for visit in self.visits(own) {
            match visit {
                Visit::Leaf(leaf) => stack.push(leaf..leaf + 1),
                Visit::Add => {
                    let right = stack.pop().expect("two sums become one");
                    stack.last_mut().expect("two sums become one").end = right.end;
                }
            }
        }
        stack
    }

    /// How a rank adds up its leaves, which come one after the other, on a stack of sums: of each of the
    /// present ones of `own`, which leaf, and how often, after it has been put onto the stack, the upper
    /// two sums become one, the lower one plus the upper one. In the end there is a sum for each of
    /// [`Tree::cover`].
    pub fn additions(&self, own: Range<usize>) -> Vec<(usize, usize)> {
        let mut additions: Vec<(usize, usize)> = Vec::new();
        for visit in self.visits(own) {
            match visit {
                Visit::Leaf(leaf) => additions.push((leaf, 0)),
                Visit::Add => additions.last_mut().expect("leaves come first").1 += 1,
            }
        }
        additions
    }

    /// The sum of all that is present, where `known` are the sums of some whole subtrees, the present
    /// leaves of which it is asked for. Nothing if no leaf is present.
    ///
    /// # Panics
    /// If nothing is known of a leaf.
    pub fn sum<T>(
        &self,
        mut known: impl FnMut(&Range<usize>) -> Option<T>,
        mut add: impl FnMut(T, T) -> T,
    ) -> Option<T> {
        self.sum_of(0..self.leaves, &mut known, &mut add)
    }

    fn sum_of<T>(
        &self,
        node: Range<usize>,
        known: &mut impl FnMut(&Range<usize>) -> Option<T>,
        add: &mut impl FnMut(T, T) -> T,
    ) -> Option<T> {
        let present = self.present(&node)?;
        if let Some(sum) = known(&present) {
            return Some(sum);
        }
        let [left, right] = halves(&node).unwrap_or_else(|| panic!("leaf {node:?} is not known"));
        let (left, right) = (self.sum_of(left, known, add), self.sum_of(right, known, add));
        match (left, right) {
            (Some(left), Some(right)) => Some(add(left, right)),
            (one, other) => one.or(other),
        }
    }

    /// The present leaves of a node, if there are any.
    fn present(&self, node: &Range<usize>) -> Option<Range<usize>> {
        let present = node.start..node.end.min(self.present);
        (!present.is_empty()).then_some(present)
    }

    fn visits(&self, own: Range<usize>) -> Vec<Visit> {
        let mut visits = Vec::new();
        self.visit(0..self.leaves, &own, &mut visits);
        visits
    }

    /// Goes through a node's leaves that are `own`. Whether all its present ones are, and there are any.
    fn visit(&self, node: Range<usize>, own: &Range<usize>, visits: &mut Vec<Visit>) -> bool {
        let Some(present) = self.present(&node) else { return false };
        if present.end <= own.start || own.end <= present.start {
            return false;
        }
        let Some([left, right]) = halves(&node) else {
            visits.push(Visit::Leaf(node.start));
            return true;
        };
        let has_both = self.present(&right).is_some();
        let [left, right] = [left, right].map(|half| self.visit(half, own, visits));
        if left && right {
            visits.push(Visit::Add);
        }
        left && (right || !has_both)
    }
}

/// The halves of a node that is no leaf.
fn halves(node: &Range<usize>) -> Option<[Range<usize>; 2]> {
    let middle = node.start + node.len() / 2;
    (node.len() > 1).then_some([node.start..middle, middle..node.end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ranks::Shards;

    /// The sum by its definition.
    fn naive(leaves: &[Option<f32>]) -> Option<f32> {
        if let [leaf] = leaves {
            return *leaf;
        }
        let (left, right) = leaves.split_at(leaves.len() / 2);
        match (naive(left), naive(right)) {
            (Some(left), Some(right)) => Some(left + right),
            (one, other) => one.or(other),
        }
    }

    /// A rank's sums, as it adds them up leaf by leaf.
    fn sums(tree: Tree, own: Range<usize>, leaves: &[f32]) -> Vec<(Range<usize>, f32)> {
        let mut stack: Vec<f32> = Vec::new();
        for (leaf, additions) in tree.additions(own.clone()) {
            stack.push(leaves[leaf]);
            for _ in 0..additions {
                let right = stack.pop().unwrap();
                *stack.last_mut().unwrap() += right;
            }
        }
        let cover = tree.cover(own);
        assert_eq!(cover.len(), stack.len());
        cover.into_iter().zip(stack).collect()
    }

    /// Numbers whose sum depends on the order of additions, and zeros of both signs.
    fn number() -> impl Strategy<Value = f32> {
        prop_oneof![Just(-0.0f32), Just(0.0), -1.0..1.0f32, -1e6..1e6f32]
    }

    proptest! {
        #[test]
        fn the_sum_does_not_depend_on_ranks(
            (leaves, present, ranks) in (1..65usize)
                .prop_flat_map(|v| (prop::collection::vec(number(), v), 1..v + 1, 1..v + 1)),
        ) {
            let tree = Tree::new(leaves.len(), present);
            let given: Vec<_> =
                leaves.iter().enumerate().map(|(i, x)| (i < present).then_some(*x)).collect();
            let shards = |rank| Shards::new(leaves.len(), rank, ranks).unwrap();
            let known: Vec<_> =
                (0..ranks).flat_map(|rank| sums(tree, shards(rank).own(), &leaves)).collect();
            let find = |node: &Range<usize>| known.iter().find(|(of, _)| of == node);
            let sum = tree.sum(|node| Some(find(node)?.1), |left, right| left + right);
            prop_assert_eq!(sum.map(f32::to_bits), naive(&given).map(f32::to_bits));
            // No rank needs more sums than the tree has levels, twice.
            let levels = leaves.len().next_power_of_two().ilog2() as usize;
            let most = (0..ranks).map(|rank| tree.cover(shards(rank).own()).len()).max();
            prop_assert!(most.unwrap() <= (2 * levels).max(1));
        }
    }

    #[test]
    fn ranks_that_divide_the_shards_have_one_sum_each() {
        for (leaves, ranks) in [(4, 2), (4, 4), (64, 8), (6, 2)] {
            let tree = Tree::new(leaves, leaves);
            for rank in 0..ranks {
                let own = Shards::new(leaves, rank, ranks).unwrap().own();
                assert_eq!(tree.cover(own.clone()), [own]);
            }
        }
    }

    #[test]
    fn where_nothing_is_there_is_no_sum() {
        let tree = Tree::new(4, 2);
        assert!(tree.cover(2..4).is_empty() && tree.additions(2..4).is_empty());
        let none = Tree::new(4, 0);
        assert_eq!(none.sum(|_| Some(1), |a, b| a + b), None);
        assert_eq!(tree.additions(0..4), [(0, 0), (1, 1)]);
    }
}
