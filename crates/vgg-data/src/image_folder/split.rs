//! Which images of an undivided folder are held out, to test on.
//!
//! Contents alone decide: an image is held out if the SHA-256 of its file, read as a number from 0 to
//! 1, is below the share. So copies stay together, whatever their names, and an image stays where it
//! is whatever is added. Within each class the share is right in the mean: of `n` different images it
//! is off by √(share · (1 − share) / n), a standard deviation.
//!
//! So few images may be in a class that all fall to one side. Then the one whose number is nearest to
//! the share changes sides, if the class has another: each class is trained on and tested on. Once
//! another falls to that side by itself, it goes back. So in such a class an image may move when others
//! are added, and in no other class. No rule could do better: of three images each two would have to be
//! divided, and could not stay so with the third. An image that is in several classes changes sides for
//! none, and a class of one image is trained on.

use std::collections::HashMap;

use super::Digest;

/// Which of the images, of these labels and contents, are held out.
pub(super) fn held_out(images: &[(u32, Digest)], classes: usize, share: f64) -> Vec<bool> {
    let falls = |digest: &Digest| falls_below(digest, share);
    let mut classes = vec![Class::default(); classes];
    let mut owners: HashMap<&Digest, Option<u32>> = HashMap::new();
    for (label, digest) in images {
        let class = &mut classes[*label as usize];
        class.sides[usize::from(falls(digest))] = true;
        class.has_several |= class.first.is_some_and(|first| first != digest);
        class.first.get_or_insert(digest);
        let owner = owners.entry(digest).or_insert(Some(*label));
        *owner = owner.filter(|owner| owner == label);
    }
    for (digest, owner) in &owners {
        if let Some(label) = owner {
            let class = &mut classes[*label as usize];
            class.least = Some(class.least.map_or(*digest, |least| least.min(digest)));
            class.most = Some(class.most.map_or(*digest, |most| most.max(digest)));
        }
    }
    let held = |(label, digest): &(u32, Digest)| {
        // Copies in several classes have no owner, and no class moves them.
        let moves = owners[digest].is_some() && classes[*label as usize].moved() == Some(digest);
        falls(digest) != moves
    };
    images.iter().map(held).collect()
}

/// Whether an image of these contents is held out, its class aside.
pub(super) fn falls_below(digest: &Digest, share: f64) -> bool {
    let (number, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    // Rounded to the nearest number of 64 bits: the share is above 0 and below 1.
    u64::from_be_bytes(*number) < (share * 2.0_f64.powi(64)) as u64
}

/// What is in a class.
#[derive(Clone, Default)]
struct Class<'a> {
    /// Whether an image falls to the side of training, and to that of testing.
    sides: [bool; 2],
    first: Option<&'a Digest>,
    /// Whether there are different images.
    has_several: bool,
    /// The least and the greatest contents that no other class has.
    least: Option<&'a Digest>,
    most: Option<&'a Digest>,
}

impl<'a> Class<'a> {
    /// The contents that change sides.
    fn moved(&self) -> Option<&'a Digest> {
        match self.sides {
            [true, false] if self.has_several => self.least,
            [false, true] => self.most,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn contents(n: u32) -> Digest {
        Sha256::digest(n.to_le_bytes()).into()
    }

    /// A label and the contents, so few that there are copies, within a class and across.
    fn images(most: usize) -> impl Strategy<Value = Vec<(u32, Digest)>> {
        let image = (0..4_u32, 0..300_u32).prop_map(|(label, n)| (label, contents(n)));
        proptest::collection::vec(image, 1..most)
    }

    fn sides(images: &[(u32, Digest)], share: f64) -> HashMap<Digest, bool> {
        let held = held_out(images, 4, share);
        images.iter().map(|(_, digest)| *digest).zip(held).collect()
    }

    proptest! {
        #[test]
        fn copies_are_never_on_both_sides(images in images(60), share in 0.01..0.99) {
            let sides = sides(&images, share);
            for ((_, digest), held) in images.iter().zip(held_out(&images, 4, share)) {
                prop_assert_eq!(sides[digest], held);
            }
        }

        /// And neither their order nor copies decide anything.
        #[test]
        fn order_and_copies_within_a_class_change_nothing(images in images(60), share in 0.01..0.99) {
            let mut other: Vec<_> = images.iter().rev().copied().collect();
            other.extend(&images[..images.len() / 2]);
            prop_assert_eq!(sides(&images, share), sides(&other, share));
        }

        #[test]
        fn a_class_with_two_images_of_its_own_is_on_both_sides(
            images in images(20),
            share in 0.01..0.99,
        ) {
            let held = held_out(&images, 4, share);
            for class in 0..4 {
                let of_class = || images.iter().zip(&held).filter(|((label, _), _)| *label == class);
                let is_own = |digest: &Digest| images.iter().all(|(label, d)| *d != *digest || *label == class);
                let mut own: Vec<_> =
                    of_class().map(|((_, digest), _)| digest).filter(|d| is_own(d)).collect();
                own.sort_unstable();
                own.dedup();
                if own.len() >= 2 {
                    prop_assert!(of_class().any(|(_, held)| *held));
                    prop_assert!(of_class().any(|(_, held)| !*held));
                }
            }
        }

        /// A tenth more images.
        #[test]
        fn more_images_move_none(images in images(300), more in images(30), share in 0.05..0.95) {
            let all: Vec<_> = images.iter().chain(&more).copied().collect();
            let [before, after] = [&images, &all].map(|images| sides(images, share));
            let is_on_both_sides = |class| {
                let of_class = || images.iter().filter(|(label, _)| label == class);
                [true, false].iter().all(|side| {
                    of_class().any(|(_, digest)| falls_below(digest, share) == *side)
                })
            };
            for (label, digest) in &images {
                if is_on_both_sides(label) {
                    prop_assert_eq!(before[digest], after[digest]);
                }
            }
        }
    }

    #[test]
    fn the_share_is_right_in_the_mean() {
        let images: Vec<_> = (0..20_000).map(|n| (n % 2, contents(n))).collect();
        let held = held_out(&images, 2, 0.2);
        for class in 0..2 {
            let n = images.iter().zip(&held).filter(|((c, _), held)| *c == class && **held).count();
            // Of 10,000 a standard deviation is 40.
            assert!((1850..=2150).contains(&n), "{n}");
        }
    }

    #[test]
    fn which_images_are_held_out_is_pinned() {
        let images: Vec<_> = (0..10).map(|n| (0, contents(n))).collect();
        let held = held_out(&images, 1, 0.3);
        let numbers: Vec<_> = (0..10).filter(|n| held[*n]).collect();
        assert_eq!(numbers, [2, 5], "a run would be resumed with others");
    }
}
