//! The only place that draws random bytes.

/// Fills `out` from the operating system's generator.
///
/// # Panics
/// When the operating system has no randomness to give: nothing safe can be done then.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that draws randomness"
)]
pub fn fill(out: &mut [u8]) {
    aws_lc_rs::rand::fill(out).expect("the operating system always gives random bytes");
}

/// Returns `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    fill(&mut out);
    out
}

/// Returns a random number below `bound`, or 0 when `bound` is 0; for jitter, not for keys.
pub fn below(bound: u64) -> u64 {
    match bound {
        0 => 0,
        _ => u64::from_le_bytes(bytes()) % bound,
    }
}
