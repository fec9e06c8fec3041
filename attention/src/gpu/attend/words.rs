//! What a shader reads besides arrays: numbers of the call, and tables of constants.

/// Sizes and addresses, read as `word(i)`.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(Vec<u32>);

impl Words {
    /// Adds a number; gives the text that reads it. Arrays are far smaller than 2³² elements.
    pub(super) fn add(&mut self, x: usize) -> String {
        self.bits(x as u32)
    }

    /// Adds a float's bits.
    pub(super) fn bits(&mut self, x: u32) -> String {
        self.0.push(x);
        format!("word({}u)", self.0.len())
    }

    /// All of them, from word 1 on: word 0 is the number of lines of the call.
    pub(super) fn all(&self) -> &[u32] {
        &self.0
    }
}

/// Constants on the device, as bits: floats, and documents of tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct Data(pub(super) Vec<u32>);

impl Data {
    /// Adds f32 values; gives the address of the first.
    pub(super) fn add(&mut self, values: &[f64]) -> usize {
        let start = self.0.len();
        self.0.extend(values.iter().map(|x| (*x as f32).to_bits()));
        start
    }

    /// Adds whole numbers; gives the address of the first.
    pub(super) fn add_whole(&mut self, values: &[u32]) -> usize {
        self.0.extend_from_slice(values);
        self.0.len() - values.len()
    }
}
