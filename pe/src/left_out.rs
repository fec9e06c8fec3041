//! Published encodings that are not schemes of this crate, and why.

/// Name, source and reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What it is called.
    pub name: &'static str,
    /// Where it was published.
    pub source: &'static str,
    /// Why it is not here, or what stands in its place.
    pub why: &'static str,
}

const fn row(name: &'static str, source: &'static str, why: &'static str) -> LeftOut {
    LeftOut { name, source, why }
}

/// In the order of the literature: rotary, absolute and content-dependent, interventions.
pub const LEFT_OUT: &[LeftOut] = &[
    row(
        "M-RoPE, VideoRoPE, HoPE for vision and language, V2PE, STAR, GPE",
        "arXiv 2409.12191, 2502.05173 and others",
        "positions on several axes of images and video; with equal positions on all axes they are RoPE, which is here",
    ),
    row(
        "PIE (positional integrity encoding)",
        "arXiv 2407.03157",
        "re-rotates cached keys after an edit of the text; nothing is different in a text read from its start",
    ),
    row(
        "RoPE in state-space duality",
        "arXiv 2412.11834",
        "rotates the matrices of a state-space layer, which is no attention",
    ),
    row(
        "RoPE with ALiBi in a harmonic series",
        "arXiv 2410.18441",
        "its formula could not be confirmed from any source",
    ),
    row(
        "DoPE",
        "arXiv 2511.09146",
        "chooses heads and bands by what a text does in trained weights; a plan is made before any text is read",
    ),
    row(
        "RoPE-ID, FMRoPE",
        "arXiv 2603.18017; ICLR 2026",
        "only abstracts could be read; `rope` with another `base` and `partial` comes near",
    ),
    row(
        "AdaRoPE",
        "arXiv 2607.19363",
        "its scale by length is known from the abstract alone; frequencies by key head are `lerope` with `shared = \"key-head\"`",
    ),
    row(
        "CARoPE, adaptive APE, HD-RoPE, Bifocal, 3D-RPE, InfoScale, CosScale, DCIS, AlphaRoPE, ComRoPE",
        "arXiv 2507.23083, 2601.06113, 2608.29715, 2601.22402, 2406.09897, 2501.08570, 2412.18811 and others",
        "their formulas could not be confirmed from any source",
    ),
    row(
        "Content-dependent order of heads in Ms-PoE",
        "arXiv 2403.04797",
        "a plan is made before any text is read; `ms-poe` orders heads by their index",
    ),
    row(
        "Positional heads, EliteKV",
        "arXiv 2410.08703",
        "analyses of trained models, not encodings",
    ),
    row(
        "Index hints",
        "arXiv 2310.16028",
        "marks before digits are other training data, not an encoding; `abacus` and `position-coupling` read ids of the task",
    ),
    row(
        "Conditional position encoding (PEG)",
        "arXiv 2102.10882",
        "a convolution over an image; a causal form in one dimension is no published encoding",
    ),
    row(
        "Dynamic position encoding",
        "arXiv 2204.08142",
        "reorders source sentences for translation by an encoder",
    ),
    row(
        "Monotonic location attention",
        "arXiv 2305.20019",
        "moves through a source sentence: cross-attention",
    ),
    row(
        "LightNet, LAVO",
        "arXiv 2405.21022, 2312.11135",
        "linear attention and its decays, without a softmax over pairs",
    ),
    row(
        "Recurrent memory with chunked attention",
        "2025",
        "an architecture of its own; inside of a chunk it reads RoPE",
    ),
    row(
        "PINE",
        "arXiv 2407.01100",
        "orders documents anew for each query and head by their attention, for documents without an order",
    ),
    row(
        "Scaling of one positional channel",
        "arXiv 2406.02536",
        "needs a channel that was found in a given trained model",
    ),
    row(
        "Graph-KV, AttnRank",
        "arXiv 2506.07334, 2508.05128",
        "arrange retrieved documents; the encoding below is the model's",
    ),
    row(
        "Position-aware fine-tuning, Lexinvariant models, random spaces",
        "arXiv 2404.01430, 2305.16349, 2311.14737",
        "change the training data, not the encoding",
    ),
    row(
        "CONFLATOR",
        "arXiv 2309.05270",
        "restarts positions where the language switches, which the text does not tell",
    ),
    row("GTA", "arXiv 2310.10375", "geometry of cameras in vision"),
];
