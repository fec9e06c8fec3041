//! Tokenizers whose ids can be told without them: one token for each byte, or for each character.

use serde_json::{Map, Value, json};

/// Ids of the marks around a text, behind those of the 256 bytes.
pub const BOS: u32 = 256;
pub const EOS: u32 = 257;

fn around(bos: bool, eos: bool, (first, last): (u32, u32)) -> Value {
    let mark = |token: &str| json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let mut single = vec![json!({ "Sequence": { "id": "A", "type_id": 0 } })];
    if bos {
        single.insert(0, mark("<s>"));
    }
    if eos {
        single.push(mark("</s>"));
    }
    let special = |token: &str, id: u32| json!({ "id": token, "ids": [id], "tokens": [token] });
    json!({
        "type": "TemplateProcessing", "single": single,
        "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
        "special_tokens": { "<s>": special("<s>", first), "</s>": special("</s>", last) },
    })
}

fn marks((first, last): (u32, u32)) -> Value {
    let mark = |id: u32, token: &str| {
        json!({
            "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true,
        })
    };
    json!([mark(first, "<s>"), mark(last, "</s>")])
}

/// A tokenizer of GPT-2's kind without merges: the id of a byte is the byte.
pub fn bytes(bos: bool, eos: bool) -> Value {
    let plain = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut others = 256..;
    let vocab: Map<String, Value> = (0..256u32)
        .map(|byte| {
            let letter = if plain(byte) {
                byte
            } else {
                others.next().expect("more letters")
            };
            let letter = char::from_u32(letter).expect("a letter");
            (letter.to_string(), json!(byte))
        })
        .collect();
    json!({
        "version": "1.0", "added_tokens": marks((BOS, EOS)),
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": around(bos, eos, (BOS, EOS)),
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    })
}

/// A tokenizer of Llama's kind without merges: a blank is set before the text, and the id of an ASCII character is its
/// code, that of a blank 32.
pub fn characters(bos: bool, eos: bool) -> Value {
    let marks_at = (0, 1);
    let mut vocab: Map<String, Value> = (33..127u32)
        .filter_map(|code| Some((char::from_u32(code)?.to_string(), json!(code))))
        .collect();
    vocab.insert("▁".into(), json!(32));
    vocab.insert("<unk>".into(), json!(2));
    json!({
        "version": "1.0", "added_tokens": marks(marks_at),
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ] },
        "post_processor": around(bos, eos, marks_at),
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ] },
        "model": { "type": "BPE", "vocab": vocab, "merges": [], "unk_token": "<unk>" },
    })
}
