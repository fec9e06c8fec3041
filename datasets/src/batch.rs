//! Windows of tokens, as a model reads them.

/// Some windows of one length. All vectors are row-major, `rows` × `len`.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Token ids that the model is fed.
    pub tokens: Vec<u32>,
    /// The token that follows each fed one.
    pub targets: Vec<u32>,
    /// Weight of each target in the loss; 0 = not scored.
    pub weights: Vec<f32>,
    /// Position of each fed token, if it is not its place in the window.
    pub positions: Option<Vec<f64>>,
    /// Documents that do not see each other; without, a window is one text.
    pub documents: Option<Documents>,
    /// Windows.
    pub rows: usize,
    /// Fed tokens per window.
    pub len: usize,
}

/// Documents of packed windows, which do not see each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// First fed token of each document of a window, by window; increasing from 0.
    pub starts: Vec<Vec<usize>>,
    /// Whether positions start from 0 in each document; else they run on through the window.
    pub restart: bool,
}

impl Batch {
    /// An empty batch that windows of `len` fed tokens are pushed to.
    pub(crate) fn with_capacity(rows: usize, len: usize) -> Batch {
        let n = rows * len;
        Batch {
            tokens: Vec::with_capacity(n),
            targets: Vec::with_capacity(n),
            weights: Vec::with_capacity(n),
            positions: None,
            documents: None,
            rows: 0,
            len,
        }
    }

    /// Adds a window: `len` + 1 tokens, of which the last `scored` are targets with weight 1.
    pub(crate) fn push(&mut self, window: &[u32], scored: usize) {
        assert_eq!(
            window.len(),
            self.len + 1,
            "a window is one token longer than what is fed"
        );
        assert!(scored <= self.len, "only targets can be scored");
        self.tokens.extend_from_slice(&window[..self.len]);
        self.targets.extend_from_slice(&window[1..]);
        self.weights
            .resize(self.weights.len() + self.len - scored, 0.0);
        self.weights.resize(self.weights.len() + scored, 1.0);
        self.rows += 1;
    }
}
