//! Which of an upstream's servers gets a call.

/// A set of servers by their places: there are at most [`MOST_SERVERS`](super::MOST_SERVERS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places(u64);

impl Places {
    /// None.
    pub(super) const NONE: Self = Self(0);

    /// Those of `count` servers for which `is_in` says so.
    pub(super) fn those(count: usize, is_in: impl Fn(usize) -> bool) -> Self {
        let places = (0..count).filter(|place| is_in(*place));
        Self(places.fold(0, |set, place| set | 1 << place))
    }

    /// These and `place`.
    pub(super) const fn with(self, place: usize) -> Self {
        Self(self.0 | 1 << place)
    }

    /// Whether `place` is one of these.
    pub(super) const fn has(self, place: usize) -> bool {
        self.0 & (1 << place) != 0
    }

    /// How many these are.
    pub(super) const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// These, in order.
    pub(super) fn all(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |place| self.has(*place))
    }
}

/// What is known of one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Burden {
    /// Its share of the calls.
    pub(super) weight: u32,
    /// The calls it is busy with.
    pub(super) calls: usize,
}

/// Draws one of `places`: two by weight, and of these the first, unless it has more calls for its weight.
///
/// Two draws and a look keep servers of unlike speed evenly busy, without everybody choosing the same one
/// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing"); while nobody is busy, weights alone count.
/// Servers without weight are drawn when there is no other. `None` when there is nobody to be drawn.
pub(super) fn draw(
    places: Places,
    burden: impl Fn(usize) -> Burden,
    random: &mut fastrand::Rng,
) -> Option<usize> {
    let weighed: u64 = places.all().map(|at| u64::from(burden(at).weight)).sum();
    // Without a weight among them, all weigh the same.
    let weight = |place: usize| match weighed {
        0 => 1,
        _ => u64::from(burden(place).weight),
    };
    let mut draw_from = |places: Places| {
        let all: u64 = places.all().map(weight).sum();
        let mut left = (all > 0).then(|| random.u64(0..all))?;
        places.all().find(|place| {
            let weight = weight(*place);
            let is_it = left < weight;
            left = left.saturating_sub(weight);
            is_it
        })
    };
    let one = draw_from(places)?;
    let Some(other) = draw_from(Places(places.0 & !(1 << one))) else {
        return Some(one);
    };
    // With the call, the other would be no busier for its weight than the first is without it.
    let busy = |place: usize, more: u64| burden(place).calls as u64 + more;
    if busy(other, 1) * weight(one) <= busy(one, 0) * weight(other) {
        Some(other)
    } else {
        Some(one)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// How many of `rounds` calls each server gets; each call `lasts` until the end, or ends before the next.
    fn shares<const N: usize>(weights: [u32; N], rounds: usize, lasts: bool) -> [usize; N] {
        let mut random = fastrand::Rng::with_seed(7);
        let mut calls = [0; N];
        for _ in 0..rounds {
            let burden = |place| Burden {
                weight: weights[place],
                calls: if lasts { calls[place] } else { 0 },
            };
            let drawn = draw(Places::those(N, |_| true), burden, &mut random);
            calls[drawn.expect("somebody can be drawn")] += 1;
        }
        calls
    }

    #[rstest]
    #[case::alike([1, 1, 1])]
    #[case::unlike([1, 2, 5])]
    #[case::heavy([100, 200, 700])]
    #[case::one_of_none([1, 0, 2])]
    #[case::none([0, 0, 0])]
    fn calls_are_shared_by_weight(#[case] weights: [u32; 3], #[values(true, false)] lasts: bool) {
        let sum: u32 = weights.iter().sum();
        for (got, weight) in shares(weights, 8_000, lasts).into_iter().zip(weights) {
            let share = match sum {
                0 => 8_000 / 3,
                _ => 8_000 * usize::try_from(weight).unwrap() / usize::try_from(sum).unwrap(),
            };
            assert!(got.abs_diff(share) <= share / 20, "{got} of {share}");
        }
    }

    #[test]
    fn of_two_the_less_busy_one_gets_the_call() {
        let mut random = fastrand::Rng::with_seed(7);
        let burden = |place| Burden {
            weight: 1,
            calls: [6, 4][place],
        };
        for _ in 0..100 {
            let drawn = draw(Places::those(2, |_| true), burden, &mut random);
            assert_eq!(drawn, Some(1));
        }
    }

    #[test]
    fn only_who_is_asked_for_is_drawn() {
        let mut random = fastrand::Rng::with_seed(7);
        let burden = |_| Burden {
            weight: 1,
            calls: 0,
        };
        let places = Places::NONE.with(3).with(63);
        assert_eq!(places.count(), 2);
        for _ in 0..100 {
            let drawn = draw(places, burden, &mut random);
            assert!(drawn.is_some_and(|place| places.has(place)));
        }
        assert_eq!(draw(Places::NONE, burden, &mut random), None);
    }
}
