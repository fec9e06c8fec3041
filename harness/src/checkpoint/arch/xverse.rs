//! XVERSE (remote code): Llama by other names of its sizes' defaults.

use super::shared::*;

pub(super) fn read(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        vocab: 100_278,
        width: 5120,
        hidden: 13_824,
        layers: 40,
        heads: 40,
        positions: 8192,
        ..LLAMA
    };
    let architecture = common(keys, "xverse", defaults)?;
    keys.only("quantization_bit", &json!(0), "weights are not quantized")?;
    keys.idle(
        &["initializer_weight", "max_tokenizer_truncation"],
        "no effect on the computation",
    );
    Ok(architecture)
}
