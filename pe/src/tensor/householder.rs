//! Products of queries and keys with reflections in between, chunk by chunk (PaTH, arXiv 2505.16381, section 3).
//!
//! With H_t = I − β_t·w_t·w_tᵀ the score of query i and key j is q_iᵀ·H_i·H_{i−1}·…·H_{j+1}·k_j. Inside a chunk the
//! product of all H is I − Wᵀ·T·W, where T is triangular; between chunks, keys are carried to the left edge of the
//! chunk at hand. Time O(n²·d), memory O(n²·(1 + d / chunk)).

use farspan_attention::{Result, Tensor};

/// Tokens to a chunk.
const CHUNK: usize = 16;

/// Scores (batch, heads, tokens, tokens) without scale; what stands above the diagonal is 0. `q`, `k` and `w` are
/// (batch, heads, tokens, d), `beta` is (batch, heads, tokens, 1).
pub(crate) fn scores(q: &Tensor, k: &Tensor, w: &Tensor, beta: &Tensor) -> Result<Tensor> {
    let (batch, heads, tokens, _) = q.dims4()?;
    let chunks = tokens.div_ceil(CHUNK);
    let Chunks {
        local,
        queries,
        keys,
        transfer,
    } = Chunks::new([q, k, w, beta])?;
    let of =
        |x: &Tensor, n: usize| -> Result<Tensor> { x.narrow(1, n, 1)?.squeeze(1)?.contiguous() };
    let mut rows = Vec::new();
    let mut past: Option<Tensor> = None;
    for n in 0..chunks {
        let mut row = Vec::new();
        if let Some(past) = &past {
            row.push(of(&queries, n)?.matmul(&past.transpose(1, 2)?.contiguous()?)?);
        }
        row.push(of(&local, n)?);
        let done = (n + 1) * CHUNK;
        if done < chunks * CHUNK {
            let shape = (batch * heads, CHUNK, chunks * CHUNK - done);
            let later = Tensor::zeros(shape, &q.device())?;
            row.push(later.to_dtype(q.dtype())?);
        }
        rows.push(Tensor::cat(&row.iter().collect::<Vec<_>>(), 2)?);
        let own = of(&keys, n)?;
        past = Some(match past {
            None => own,
            Some(past) => {
                let across = of(&transfer, n)?.transpose(1, 2)?.contiguous()?;
                Tensor::cat(&[&past.matmul(&across)?, &own], 1)?
            }
        });
    }
    let all = Tensor::cat(&rows.iter().collect::<Vec<_>>(), 1)?;
    let all = all.narrow(1, 0, tokens)?.narrow(2, 0, tokens)?;
    all.contiguous()?.reshape((batch, heads, tokens, tokens))
}

/// What each chunk says on its own; all (batch · heads, chunks, …).
struct Chunks {
    /// Scores inside of it, (…, CHUNK, CHUNK).
    local: Tensor,
    /// Queries as its left edge sees them, (…, CHUNK, d).
    queries: Tensor,
    /// Keys as its right edge sees them, (…, CHUNK, d).
    keys: Tensor,
    /// From its right edge to its left, (…, d, d).
    transfer: Tensor,
}

impl Chunks {
    fn new(qkwb: [&Tensor; 4]) -> Result<Chunks> {
        let [q, k, w, beta] = qkwb.map(cut);
        let (q, k, w, beta) = (q?, k?, w?, beta?);
        let turned = |x: &Tensor| x.transpose(2, 3)?.contiguous();
        let (w_t, k_t) = (turned(&w)?, turned(&k)?);
        let below = |x: Tensor, strict: bool| x.broadcast_mul(&lower(strict, &q)?);
        let steps = triangular(&below(w.matmul(&w_t)?.broadcast_mul(&beta)?, true)?, &beta)?;
        let seen = below(q.matmul(&w_t)?, false)?.matmul(&steps)?;
        let felt = below(w.matmul(&k_t)?, true)?;
        Ok(Chunks {
            local: below(q.matmul(&k_t)?, false)?.sub(&seen.matmul(&felt)?)?,
            queries: q.sub(&seen.matmul(&w)?)?,
            keys: k.sub(&turned(&steps.matmul(&felt)?)?.matmul(&w)?)?,
            transfer: w_t
                .matmul(&steps.matmul(&w)?)?
                .neg()?
                .broadcast_add(&identity(w.dim(3)?, &q)?)?,
        })
    }
}

/// (batch, heads, tokens, d) as (batch · heads, chunks, CHUNK, d), filled up with zeros: with w = 0 and β = 0 a token
/// changes nothing.
fn cut(x: &Tensor) -> Result<Tensor> {
    let (batch, heads, tokens, d) = x.dims4()?;
    let chunks = tokens.div_ceil(CHUNK);
    let missing = chunks * CHUNK - tokens;
    let shape = (batch * heads, chunks, CHUNK, d);
    if missing == 0 {
        return x.contiguous()?.reshape(shape);
    }
    let rest = Tensor::zeros((batch, heads, missing, d), &x.device())?.to_dtype(x.dtype())?;
    Tensor::cat(&[x, &rest], 2)?.reshape(shape)
}

/// T with (I + A)·T = diag(β), for A (…, CHUNK, CHUNK) below the diagonal and β (…, CHUNK, 1), row by row.
fn triangular(a: &Tensor, beta: &Tensor) -> Result<Tensor> {
    let diagonal = identity(CHUNK, a)?.broadcast_mul(beta)?;
    let row = |x: &Tensor, i: usize| x.narrow(2, i, 1)?.contiguous();
    let mut found = row(&diagonal, 0)?;
    for i in 1..CHUNK {
        let earlier = row(a, i)?.narrow(3, 0, i)?.contiguous()?;
        let next = row(&diagonal, i)?.sub(&earlier.matmul(&found)?)?;
        found = Tensor::cat(&[&found, &next], 2)?;
    }
    Ok(found)
}

/// 1 on and below the diagonal, or only below it.
fn lower(strict: bool, like: &Tensor) -> Result<Tensor> {
    square(CHUNK, like, |i, j| if strict { j < i } else { j <= i })
}

fn identity(n: usize, like: &Tensor) -> Result<Tensor> {
    square(n, like, |i, j| i == j)
}

/// (n, n) of ones and zeros, in the type and on the device of `like`.
fn square(n: usize, like: &Tensor, one: impl Fn(usize, usize) -> bool) -> Result<Tensor> {
    let values = (0..n * n)
        .map(|i| f64::from(u8::from(one(i / n, i % n))))
        .collect();
    Tensor::from_vec::<f64>(values, (n, n), &like.device())?.to_dtype(like.dtype())
}
