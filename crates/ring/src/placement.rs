//! Where a new instance's tokens lie: so that every instance of a zone owns nearly the same part of the circle.
//!
//! The newcomer takes stretches of the circle from those of its zone that own most, so that all end up with equal
//! parts, and nothing moves between the others. Tokens are chosen once, kept with the instance, and survive its
//! restarts.

use std::collections::BinaryHeap;

use xxhash_rust::xxh3::xxh3_64;

/// How many tokens an instance has. A newcomer takes from each of at most as many others.
pub const TOKENS_PER_INSTANCE: usize = 512;

/// The length of the circle.
const CIRCLE: u128 = 1 << 64;

/// The tokens of a new instance, ascending, given the tokens of every other instance in its zone that has some,
/// whatever its state. Instances without a zone are placed among each other, as if they shared a zone without a name.
///
/// A function of its arguments: whoever stores the answer has to make sure that nobody else joined the zone meanwhile.
pub fn place(zone: Option<&str>, others: &[&[u64]]) -> Vec<u64> {
    let mut circle: Vec<(u64, usize)> = Vec::new();
    for (owner, tokens) in others.iter().enumerate() {
        circle.extend(tokens.iter().map(|token| (*token, owner)));
    }
    circle.sort_unstable();
    circle.dedup_by_key(|(token, _)| *token);
    let mut tokens = if circle.is_empty() { first(zone) } else { share(&circle, others.len()) };
    tokens.sort_unstable();
    tokens
}

/// The tokens of the first instance: evenly spread, and from another point in each zone, because where zones have
/// equal tokens the first of them would get every series.
fn first(zone: Option<&str>) -> Vec<u64> {
    let offset = xxh3_64(zone.unwrap_or_default().as_bytes());
    let distance = (CIRCLE / TOKENS_PER_INSTANCE as u128) as u64;
    (0..TOKENS_PER_INSTANCE as u64).map(|i| offset.wrapping_add(i.wrapping_mul(distance))).collect()
}

/// A stretch of the circle behind one token, up to the next: the longest comes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Stretch {
    length: u128,
    /// The token before it.
    after: u64,
}

/// Someone who owns stretches: whoever owns most comes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    length: u128,
    number: usize,
}

/// Takes a fair part, a stretch at a time, each from whoever owns most then, out of the longest that it has.
fn share(circle: &[(u64, usize)], others: usize) -> Vec<u64> {
    let mut stretches: Vec<BinaryHeap<Stretch>> = (0..others).map(|_| BinaryHeap::new()).collect();
    let mut lengths = vec![0_u128; others];
    let last = circle.last().map_or(0, |(token, _)| *token);
    let befores = std::iter::once(last).chain(circle.iter().map(|(token, _)| *token));
    for (after, &(token, owner)) in befores.zip(circle) {
        // A circle with one token is one stretch all around.
        let length = match token.wrapping_sub(after) {
            0 => CIRCLE,
            length => u128::from(length),
        };
        lengths[owner] += length;
        stretches[owner].push(Stretch { length, after });
    }
    let owning = lengths.iter().filter(|length| **length > 0).count() as u128;
    let mut owners: BinaryHeap<Owner> =
        lengths.into_iter().enumerate().map(|(number, length)| Owner { length, number }).collect();
    let mut wanted = CIRCLE / (owning + 1);
    let mut tokens = Vec::with_capacity(TOKENS_PER_INSTANCE);
    for left in (1..=TOKENS_PER_INSTANCE as u128).rev() {
        let Some(mut owner) = owners.pop() else { break };
        let Some(stretch) = stretches[owner.number].pop() else { continue };
        // The former owner keeps a little of every stretch, and its token with it.
        let taken = (wanted / left).clamp(1, stretch.length.saturating_sub(1).max(1));
        let token = stretch.after.wrapping_add(taken as u64);
        wanted = wanted.saturating_sub(taken);
        owner.length -= taken;
        stretches[owner.number].push(Stretch { length: stretch.length - taken, after: token });
        owners.push(owner);
        tokens.push(token);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each instance's part of the circle, 1 being a fair one.
    fn parts(instances: &[Vec<u64>]) -> Vec<f64> {
        let mut circle: Vec<(u64, usize)> = instances
            .iter()
            .enumerate()
            .flat_map(|(i, tokens)| tokens.iter().map(move |t| (*t, i)))
            .collect();
        circle.sort_unstable();
        let mut parts = vec![0.0; instances.len()];
        let mut before = circle.last().expect("tokens").0;
        for (token, owner) in circle {
            parts[owner] += token.wrapping_sub(before) as f64 / CIRCLE as f64 * instances.len() as f64;
            before = token;
        }
        parts
    }

    fn join(instances: &mut Vec<Vec<u64>>) {
        let others: Vec<&[u64]> = instances.iter().map(Vec::as_slice).collect();
        let tokens = place(Some("a"), &others);
        assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "ascending, none twice");
        assert_eq!(tokens.len(), TOKENS_PER_INSTANCE);
        instances.push(tokens);
    }

    fn spread(instances: &[Vec<u64>]) -> (f64, f64) {
        let parts = parts(instances);
        (parts.iter().copied().fold(f64::MAX, f64::min), parts.iter().copied().fold(0.0, f64::max))
    }

    #[test]
    fn parts_are_equal_within_three_per_cent_however_many_there_are() {
        let mut instances = Vec::new();
        for n in 1..=100 {
            join(&mut instances);
            let (least, most) = spread(&instances);
            assert!(least > 0.97 && most < 1.03, "{n} instances: {least} to {most}");
        }
        let all: std::collections::BTreeSet<_> = instances.iter().flatten().collect();
        assert_eq!(all.len(), 100 * TOKENS_PER_INSTANCE, "no token has two owners");
    }

    #[test]
    fn newcomers_even_out_what_those_who_left_made_uneven() {
        let mut instances = Vec::new();
        for _ in 0..30 {
            join(&mut instances);
        }
        for gone in [3, 17, 0, 20, 9] {
            instances.swap_remove(gone);
            join(&mut instances);
            let (least, most) = spread(&instances);
            assert!(least > 0.9 && most < 1.1, "{gone}: {least} to {most}");
        }
    }

    #[test]
    fn zones_begin_at_different_points() {
        let (a, b) = (place(Some("a"), &[]), place(Some("b"), &[]));
        assert!(a.iter().all(|token| b.binary_search(token).is_err()));
        assert_eq!(a, place(Some("a"), &[&[], &[]]));
    }

    #[test]
    fn a_circle_of_one_token_is_divided_too() {
        assert_eq!(place(None, &[&[5]]).len(), TOKENS_PER_INSTANCE);
    }
}
