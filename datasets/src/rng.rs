//! Random streams that are the same on every platform for ever.
//!
//! A stream is ChaCha8 under a key made by blake3 from a label and a seed, so that streams with different labels have
//! nothing to do with each other: drawing more from one never shifts another. Only integer operations and the IEEE
//! basic operations (+ − × ÷ √) are used, which are exact everywhere; logarithm and cosine come from series below and
//! not from the system's mathematics library, whose last digit differs between systems.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::f64::consts::{LN_2, SQRT_2, TAU};

/// Domain of the keys; changing it changes every draw of the project.
const CONTEXT: &str = "farspan 2026 random streams v1";

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of a label and a seed.
    pub fn new(seed: u64, label: &str) -> Stream {
        Stream(ChaCha8Rng::from_seed(key(seed, label, 0)))
    }

    /// Random access: one independent stream per index (a training step, a prompt). Not a place inside
    /// [`new`](Stream::new)'s stream.
    pub fn at(seed: u64, label: &str, index: u64) -> Stream {
        let mut chacha = ChaCha8Rng::from_seed(key(seed, label, 1));
        chacha.set_stream(index);
        Stream(chacha)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (0.5f64).powi(53)
    }

    /// Uniform in 0..n, without bias: multiply and shift, and draw again in the short first interval (Lemire 2019,
    /// arXiv 1805.10941, section 4).
    ///
    /// # Panics
    /// If n is 0: there is no such number.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below 0");
        let refuse_below = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            if product as u64 >= refuse_below {
                return (product >> 64) as u64;
            }
        }
    }

    /// Standard normal (Box–Muller, cosine branch; two draws of 53 bits each). Magnitudes up to 8.6.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * ln(1.0 - self.uniform())).sqrt();
        radius * cos_turns(self.uniform())
    }

    /// Shuffles in place (Fisher–Yates, from the end).
    pub fn shuffle<T>(&mut self, xs: &mut [T]) {
        for i in (1..xs.len()).rev() {
            xs.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// `k` different numbers of 0..n, in the order drawn.
    ///
    /// # Panics
    /// If k > n.
    pub fn choose_distinct(&mut self, n: usize, k: usize) -> Vec<usize> {
        assert!(k <= n, "cannot choose {k} different numbers out of {n}");
        let mut xs: Vec<usize> = (0..n).collect();
        for i in 0..k {
            xs.swap(i, i + self.below((n - i) as u64) as usize);
        }
        xs.truncate(k);
        xs
    }
}

/// 32-byte key: blake3 (key derivation mode) of kind, seed and label. The label comes last, so that no two inputs run
/// into each other.
fn key(seed: u64, label: &str, kind: u8) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&[kind]);
    hasher.update(&seed.to_le_bytes());
    hasher.update(label.as_bytes());
    *hasher.finalize().as_bytes()
}

/// Natural logarithm of a normal positive number: x = m·2ᵉ with m in [1/√2, √2), ln m = 2 artanh((m−1)/(m+1)).
/// Relative error below 1e-15.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    // |s| ≤ 0.172, so the first term left out, s²⁴/25, is below 1e-19.
    let square = s * s;
    let series = (0..12)
        .rev()
        .fold(0.0, |sum, i| sum * square + 1.0 / f64::from(2 * i + 1));
    2.0 * s * series + exponent as f64 * LN_2
}

/// cos(2π·turns) for turns in [0, 1): folded to an eighth of a turn, then the Taylor series. Error below 3e-16.
fn cos_turns(turns: f64) -> f64 {
    // Folding is exact: differences of multiples of 2⁻⁵³ no larger than 1.
    let half = if turns > 0.5 { 1.0 - turns } else { turns };
    let (quarter, sign) = if half > 0.25 {
        (0.5 - half, -1.0)
    } else {
        (half, 1.0)
    };
    let (eighth, sine) = if quarter > 0.125 {
        (0.25 - quarter, true)
    } else {
        (quarter, false)
    };
    let x = eighth * TAU;
    let square = x * x;
    // |x| ≤ π/4: nine terms leave less than 1e-17.
    let first = if sine { 1 } else { 0 };
    let series = (1..9).rev().fold(1.0, |sum, i| {
        let n = f64::from(2 * i + first);
        1.0 - sum * square / (n * (n - 1.0))
    });
    sign * if sine { x * series } else { series }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stream cipher itself, against the published ChaCha8 vector for the all-zero 256-bit key and nonce.
    #[test]
    fn chacha8_is_the_published_one() {
        let mut zero = Stream(ChaCha8Rng::from_seed([0; 32]));
        let expected = [
            0x3e00ef2f895f40d6_u64,
            0x7f5bb8e81f09a5a1,
            0x2c840ec3ce9a7f3b,
        ];
        assert_eq!(expected, std::array::from_fn(|_| zero.bits().swap_bytes()));
    }

    /// Values from a separate implementation of blake3, ChaCha8 and the draws (in Python, with the system's logarithm and
    /// cosine, hence the tolerance on `normal`; the next test pins its bits).
    #[test]
    fn golden() {
        let mut stream = Stream::new(0, "text/train");
        let bits: [u64; 3] = std::array::from_fn(|_| stream.bits());
        assert_eq!(
            [0x2f1651ab631c2cb2, 0x74539895ac405030, 0x7d8328903e4f96b4],
            bits
        );
        let mut stream = Stream::at(u64::MAX, "é", 0);
        let bits: [u64; 10] = std::array::from_fn(|_| stream.bits());
        assert_eq!(
            [0xe18a2f7d707f9f73, 0x7f0ee6de2c73bb52, 0x9f25430ddaf29deb],
            bits[7..]
        );
        let mut stream = Stream::at(7, "text/train", (1 << 40) + 3);
        let bits: [u64; 3] = std::array::from_fn(|_| stream.bits());
        assert_eq!(
            [0x7a586c3d2d7ebe88, 0xe23bbe91ad2cbdcb, 0x997c923be533cfa3],
            bits
        );

        let mut stream = Stream::new(1, "uniform");
        assert_eq!(
            [
                0.3617268793927566,
                0.9530360190773267,
                0.6057319004598027,
                0.4329141981729202
            ],
            std::array::from_fn(|_| stream.uniform())
        );
        let mut stream = Stream::new(1, "below");
        assert_eq!(
            [6, 2, 6, 2, 2, 8, 5, 3, 3, 6, 6, 8, 4, 5, 3, 6, 5, 5, 9, 2],
            std::array::from_fn(|_| stream.below(10))
        );
        // A range just short of three quarters of all numbers, where the biased interval is long.
        assert_eq!(
            [
                8450056832360165792,
                9299085541484155522,
                10967094686390666881,
                13742449435830643909
            ],
            std::array::from_fn(|_| stream.below(3 << 62))
        );
        let mut xs: [u8; 10] = std::array::from_fn(|i| i as u8);
        Stream::new(1, "shuffle").shuffle(&mut xs);
        assert_eq!([3, 9, 5, 7, 6, 1, 4, 2, 0, 8], xs);
        assert_eq!(
            vec![9, 7, 1, 3, 5],
            Stream::new(1, "choose").choose_distinct(10, 5)
        );

        let mut stream = Stream::new(1, "normal");
        for expected in [
            2.2231385134159676,
            -0.6848777853858364,
            -0.35932566018467466,
            1.0186417530460123,
            -0.13112320632929747,
            1.0981808700065898,
        ] {
            assert!((stream.normal() - expected).abs() < 1e-14);
        }
    }

    /// Bits of a thousand normals, folded into one number; from the same series in Python, which rounds as IEEE says.
    #[test]
    fn normals_have_the_same_bits_everywhere() {
        let mut stream = Stream::new(1, "normal");
        let fold = |sum: u64, x: f64| sum.wrapping_mul(31).wrapping_add(x.to_bits());
        assert_eq!(
            0x64558759392c59eb,
            (0..1000).fold(0, |sum, _| fold(sum, stream.normal()))
        );
    }

    #[test]
    fn logarithm_and_cosine_agree_with_the_system() {
        let mut stream = Stream::new(0, "test");
        for _ in 0..20_000 {
            let u = stream.uniform();
            let x = 1.0 - u;
            assert!(
                (ln(x) - x.ln()).abs() <= 4e-16 * (1.0 + x.ln().abs()),
                "ln {x}"
            );
            assert!((cos_turns(u) - (u * TAU).cos()).abs() <= 1e-15, "cos {u}");
        }
        assert_eq!(0.0, ln(1.0));
        assert!((ln(0.5f64.powi(53)) - 0.5f64.powi(53).ln()).abs() < 1e-14);
        for (turns, cosine) in [(0.0, 1.0), (0.25, 0.0), (0.5, -1.0), (0.75, 0.0)] {
            assert_eq!(cosine, cos_turns(turns));
        }
    }

    #[test]
    fn draws_have_the_right_shape() {
        let mut stream = Stream::new(3, "moments");
        let n = 200_000;
        let (mut mean, mut square, mut fourth) = (0.0, 0.0, 0.0);
        let mut faces = [0_u32; 6];
        for _ in 0..n {
            let x = stream.normal();
            mean += x / f64::from(n);
            square += x * x / f64::from(n);
            fourth += x.powi(4) / f64::from(n);
            faces[stream.below(6) as usize] += 1;
        }
        // Five standard errors each: 1/√n, √(2/n), √(96/n).
        assert!(mean.abs() < 0.0112, "mean {mean}");
        assert!((square - 1.0).abs() < 0.0159, "variance {square}");
        assert!((fourth - 3.0).abs() < 0.11, "fourth moment {fourth}");
        let expected = f64::from(n) / 6.0;
        let chi: f64 = faces
            .iter()
            .map(|&f| (f64::from(f) - expected).powi(2) / expected)
            .sum();
        assert!(
            chi < 25.7,
            "chi-square with 5 degrees of freedom, p = 1e-4: {chi}"
        );
    }

    #[test]
    fn shuffles_and_choices_are_permutations() {
        let mut stream = Stream::new(9, "orders");
        let mut xs: Vec<u32> = (0..100).collect();
        stream.shuffle(&mut xs);
        assert_ne!((0..100).collect::<Vec<_>>(), xs);
        xs.sort_unstable();
        assert_eq!((0..100).collect::<Vec<_>>(), xs);
        let mut first = [0_u32; 10];
        for _ in 0..10_000 {
            let chosen = stream.choose_distinct(10, 5);
            let mut sorted = chosen.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(5, sorted.len());
            first[chosen[0]] += 1;
        }
        assert!(first.iter().all(|&n| (850..1150).contains(&n)), "{first:?}");
    }
}
