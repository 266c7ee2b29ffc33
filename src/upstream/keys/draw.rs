use crate::upstream::balance::Places;

/// Draws one of `places` by weight; those of weight zero only when there is no other, and then all alike. `None` when
/// there is nobody to be drawn.
pub(super) fn draw(
    places: Places,
    weight: impl Fn(usize) -> f64,
    random: &mut fastrand::Rng,
) -> Option<usize> {
    let all: f64 = places.all().map(&weight).sum();
    let weight = |place: usize| if all > 0.0 { weight(place) } else { 1.0 };
    let all = if all > 0.0 {
        all
    } else {
        f64::from(places.count())
    };
    let mut left = random.f64() * all;
    let mut last = None;
    for place in places.all().filter(|place| weight(*place) > 0.0) {
        last = Some(place);
        left -= weight(place);
        if left < 0.0 {
            break;
        }
    }
    // What sums of fractions lose belongs to the last.
    last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(weights: &[f64], times: u32) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(7);
        let places = Places::those(weights.len(), |_| true);
        let mut counts = vec![0.0; weights.len()];
        for _ in 0..times {
            counts[draw(places, |place| weights[place], &mut random).unwrap()] += 1.0;
        }
        counts
    }

    #[test]
    fn shares_are_as_the_weights_say() {
        let times = 100_000;
        for weights in [
            &[1.0, 1.0][..],
            &[3.0, 1.0],
            &[0.5, 0.3, 0.2],
            &[9.0, 0.9, 0.1],
        ] {
            let all: f64 = weights.iter().sum();
            // Pearson's test: with up to two degrees of freedom, one in a million exceeds 28.
            let counts = drawn(weights, times);
            let distance: f64 = counts
                .iter()
                .zip(weights)
                .map(|(count, weight)| {
                    let expected = weight / all * f64::from(times);
                    (count - expected).powi(2) / expected
                })
                .sum();
            assert!(distance < 28.0, "{weights:?}: {counts:?}");
        }
    }

    #[test]
    fn zero_is_drawn_when_nothing_else_is_left() {
        assert_eq!(drawn(&[0.0, 1.0, 0.0], 1_000), [0.0, 1_000.0, 0.0]);
        let counts = drawn(&[0.0, 0.0], 1_000);
        assert!(counts.iter().all(|count| *count > 400.0), "{counts:?}");
        let mut random = fastrand::Rng::with_seed(7);
        assert_eq!(draw(Places::NONE, |_| 1.0, &mut random), None);
    }

    proptest! {
        #[test]
        fn whoever_is_there_is_drawn(weights in prop::collection::vec(0.0..1e6_f64, 1..64), seed: u64) {
            let mut random = fastrand::Rng::with_seed(seed);
            let places = Places::those(weights.len(), |_| true);
            let place = draw(places, |place| weights[place], &mut random).unwrap();
            let others_weigh = weights.iter().any(|weight| *weight > 0.0);
            prop_assert!(weights[place] > 0.0 || !others_weigh);
        }
    }
}
