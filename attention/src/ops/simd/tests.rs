use super::*;

struct Map<'a>(&'a [f32], &'a mut [f32], &'a str);
impl Kernel for Map<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for at in (0..self.0.len()).step_by(S::LANES) {
            let x = s.read(self.0, at);
            let y = match self.2 {
                "exp" => s.exp(x),
                "exp_down" => s.exp_down(x),
                "ln" => s.ln(x),
                "log1p" => s.log1p(x),
                _ => s.tanh(x),
            };
            s.write(self.1, at, y);
        }
    }
}

fn levels() -> Vec<Level> {
    let mut levels = vec![Level::Portable];
    #[cfg(target_arch = "x86_64")]
    levels.extend([Level::Avx2, Level::Avx512]);
    levels.retain(|level| *level <= Level::best());
    levels
}

fn map(level: Level, x: &[f32], f: &str) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.len()];
    // SAFETY: `levels` asks the CPU.
    unsafe { dispatch_at(level, Map(x, &mut y, f)) };
    y
}

#[test]
fn exp_is_exact_to_two_in_ten_million() {
    let x: Vec<f32> = (-87_000..88_700).map(|i| i as f32 * 1e-3 + 3e-4).collect();
    for level in levels() {
        for (x, y) in x.iter().zip(map(level, &x, "exp")) {
            let exact = f64::from(*x).exp();
            let error = (f64::from(y) - exact).abs() / exact;
            let tolerance = if *x < 88.3 { 2e-7 } else { 2e-6 };
            assert!(
                error < tolerance,
                "{level:?}: exp({x}) = {y}, off by {error:e}"
            );
        }
        let edge = [
            f32::NEG_INFINITY,
            -1e9,
            -88.5,
            0.0,
            89.0,
            f32::INFINITY,
            f32::NAN,
        ];
        let y = map(level, &edge, "exp");
        assert_eq!(y[..6], [0.0, 0.0, 0.0, 1.0, f32::INFINITY, f32::INFINITY]);
        assert!(y[6].is_nan());
    }
}

#[test]
fn exp_down_is_as_exact_as_it_says() {
    let x: Vec<f32> = (-69_300..=1).map(|i| i as f32 * 1e-3).collect();
    for level in levels() {
        for (x, y) in x.iter().zip(map(level, &x, "exp_down")) {
            let exact = f64::from(*x).exp();
            let error = (f64::from(y) - exact).abs() / exact;
            assert!(
                error < 2e-7 + 1e-7 * f64::from(x.abs()),
                "{level:?}: exp({x}) = {y}, off by {error:e}"
            );
        }
        let edge = [f32::NEG_INFINITY, f32::MIN, NOTHING, -0.0, 0.0, f32::NAN];
        let y = map(level, &edge, "exp_down");
        assert_eq!(y[..5], [0.0, 0.0, 0.0, 1.0, 1.0], "{level:?}");
        assert!(y[5].is_nan(), "{level:?}");
    }
}

#[test]
fn ln_is_exact_to_three_in_ten_million() {
    let x: Vec<f32> = (-400_000..350_000)
        .map(|i| (i as f32 * 2.5e-4).exp())
        .collect();
    for level in levels() {
        for (x, y) in x.iter().zip(map(level, &x, "ln")) {
            let exact = f64::from(*x).ln();
            let error = (f64::from(y) - exact).abs() / exact.abs().max(1e-3);
            assert!(error < 3e-7, "{level:?}: ln({x}) = {y}, off by {error:e}");
        }
        let y = map(level, &[0.0, 1.0, f32::INFINITY, -1.0, f32::NAN], "ln");
        assert_eq!(y[..3], [f32::NEG_INFINITY, 0.0, f32::INFINITY]);
        assert!(y[3].is_nan() && y[4].is_nan());
    }
}

#[test]
fn log1p_and_tanh_are_exact_near_zero_and_far_away() {
    let x: Vec<f32> = (-3000..3000).map(|i| (i as f32 * 1e-2).exp()).collect();
    let both: Vec<f32> = x.iter().flat_map(|x| [*x, -*x]).collect();
    for level in levels() {
        for (x, y) in x.iter().zip(map(level, &x, "log1p")) {
            let exact = f64::from(*x).ln_1p();
            assert!(
                (f64::from(y) - exact).abs() < 1e-6 * exact,
                "{level:?}: log1p({x}) = {y}"
            );
        }
        for (x, y) in both.iter().zip(map(level, &both, "tanh")) {
            let exact = f64::from(*x).tanh();
            let error = (f64::from(y) - exact).abs();
            assert!(error < 2e-6 * exact.abs(), "{level:?}: tanh({x}) = {y}");
        }
        let y = map(level, &[0.0, f32::INFINITY, -1.0, -2.0, f32::NAN], "log1p");
        assert_eq!(y[..3], [0.0, f32::INFINITY, f32::NEG_INFINITY]);
        assert!(y[3].is_nan() && y[4].is_nan());
        let y = map(
            level,
            &[0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN],
            "tanh",
        );
        assert_eq!(y[..3], [0.0, 1.0, -1.0]);
        assert!(y[3].is_nan());
    }
}
