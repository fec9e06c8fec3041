//! DeepSeek-V2 and V3: latent attention, and experts behind some dense layers, chosen from the best groups.

use super::shared::*;

pub(super) fn names(_: &Architecture) -> Names {
    Names {
        experts: ExpertNames {
            shared: "mlp.shared_experts",
            ..ExpertNames::QWEN
        },
        more_layers: true,
        ..Names::LLAMA
    }
}

/// DeepSeek's softmax follows `mscale_all_dim` of its YaRN.
const ROPE: rope::Family = rope::Family {
    scales_softmax: true,
    ..USUAL
};

pub(super) fn v2(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        vocab: 102_400,
        rope: ROPE,
        ..LLAMA
    };
    let mut architecture = latent(keys, "deepseek_v2", defaults)?;
    interleaved(&mut architecture, true);
    if keys.switch("mlp_bias", false, "biases after attention")? {
        let rule = "false, as experts have no biases";
        return Err(keys.contradicts("mlp_bias", rule, true));
    }
    keys.only(
        "norm_topk_prob",
        &json!(false),
        "the reference does not read it",
    )?;
    keys.only(
        "scoring_func",
        &json!("softmax"),
        "the reference has nothing else",
    )?;
    let chosen = keys.count("num_experts_per_tok", "experts that a token goes to")?;
    let chosen = chosen
        .ok_or_else(|| keys.wrong("num_experts_per_tok", "a number of experts", "nothing"))?;
    let counts = Counts {
        count: keys.either_or(&["n_routed_experts", "num_experts"], 64, ROUTED)?,
        chosen,
        hidden: keys.count_or("moe_intermediate_size", 1407, "hidden width of an expert")?,
        shared: keys.count_or("n_shared_experts", 2, SHARED)?,
        dense: keys.number_of("first_k_dense_replace", 0, DENSE)?,
    };
    let mut routing = Routing::softmax(false);
    routing.scale = keys.positive_or("routed_scaling_factor", 1.0, "multiplies the weights")?;
    match keys
        .text("topk_method", "greedy", "how experts are chosen")?
        .as_str()
    {
        "greedy" => keys.idle(&["n_group", "topk_group"], "not read by greedy choice"),
        "group_limited_greedy" => routing.groups = Some(groups(keys, &counts, 1, [None; 2])?),
        found => {
            let known = "greedy or group_limited_greedy";
            return Err(keys.wrong("topk_method", known, format!("{found:?}")));
        }
    }
    Ok(with_experts(architecture, &counts, routing))
}

pub(super) fn v3(keys: &mut Keys) -> Result<Architecture> {
    let defaults = Defaults {
        kv_heads: Some(128),
        vocab: 129_280,
        width: 7168,
        hidden: 18_432,
        layers: 61,
        heads: 128,
        positions: 4096,
        rope: ROPE,
        ..LLAMA
    };
    let mut architecture = latent(keys, "deepseek_v3", defaults)?;
    let neighbours = keys.loose_switch("rope_interleave", true, "neighbouring channels pair up")?;
    interleaved(&mut architecture, neighbours);
    keys.only(
        "scoring_func",
        &json!("sigmoid"),
        "the reference has nothing else",
    )?;
    keys.only(
        "topk_method",
        &json!("noaux_tc"),
        "the reference has nothing else",
    )?;
    let predictors = ["num_nextn_predict_layers", "num_mtp_layers"];
    keys.idle(
        &predictors,
        "layers behind the last, which predict further tokens, are not read",
    );
    let counts = Counts {
        count: keys.either_or(&["n_routed_experts", "num_local_experts"], 256, ROUTED)?,
        chosen: keys.count_or("num_experts_per_tok", 8, "experts that a token goes to")?,
        hidden: keys.count_or("moe_intermediate_size", 2048, "hidden width of an expert")?,
        shared: keys.count_or("n_shared_experts", 1, SHARED)?,
        dense: keys.number_of("first_k_dense_replace", 3, DENSE)?,
    };
    let routing = Routing {
        scores: Scores::Corrected,
        normalised: keys.loose_switch("norm_topk_prob", true, "weights add up to 1")?,
        scale: keys.positive_or("routed_scaling_factor", 2.5, "multiplies the weights")?,
        groups: Some(groups(keys, &counts, 2, [Some(8), Some(4)])?),
        on_input: false,
    };
    Ok(with_experts(architecture, &counts, routing))
}

const ROUTED: &str = "experts of a layer";
const SHARED: &str = "blocks of an expert's width that all tokens see";
const DENSE: &str = "first layers without experts";

struct Counts {
    count: usize,
    chosen: usize,
    hidden: usize,
    shared: usize,
    dense: usize,
}

/// What both have but for the experts. A head here is as long as the longer of its keys and its values.
fn latent(keys: &mut Keys, family: &str, defaults: Defaults) -> Result<Architecture> {
    let query_rank = keys.nullable("q_lora_rank", Some(1536), "channels behind the queries")?;
    let size = |keys: &mut Keys, key, default, meaning| keys.count_or(key, default, meaning);
    let latent = Latent {
        query_rank,
        rank: size(keys, "kv_lora_rank", 512, "channels behind keys and values")?,
        rotary: size(keys, "qk_rope_head_dim", 64, "channels of a head that turn")?,
        plain: size(
            keys,
            "qk_nope_head_dim",
            128,
            "channels of a head that do not turn",
        )?,
        value: size(keys, "v_head_dim", 128, "channels of a value")?,
        // Those of the reference have their class's default, whatever rms_norm_eps is.
        norm_eps: 1e-6,
    };
    keys.idle(
        &["head_dim", "qk_head_dim"],
        "follows from the parts of a head",
    );
    let defaults = Defaults {
        head_dim: Some(latent.score().max(latent.value)),
        ..defaults
    };
    let mut architecture = common(keys, family, defaults)?;
    let g = architecture.geometry;
    if g.kv_heads != g.heads {
        let rule = format!("{}, as many as query heads", g.heads);
        return Err(keys.wrong("num_key_value_heads", &rule, g.kv_heads));
    }
    let settings = &mut architecture.positional.settings;
    let share = latent.rotary as f64 / g.head_dim as f64;
    settings.insert("partial".into(), json!(share));
    architecture.score_scale = (g.head_dim as f64 / latent.score() as f64).sqrt();
    architecture.attention_bias(keys, false)?;
    architecture.latent = Some(latent);
    keys.only(
        "moe_layer_freq",
        &json!(1),
        "the reference has nothing else",
    )?;
    keys.idle(
        &["ep_size", "aux_loss_alpha", "seq_aux"],
        "of training, or of many devices",
    );
    Ok(architecture)
}

fn interleaved(architecture: &mut Architecture, neighbours: bool) {
    let pairing = match neighbours {
        true => rope::NEIGHBOURS,
        false => "half-split",
    };
    let settings = &mut architecture.positional.settings;
    settings.insert("pairing".into(), json!(pairing));
}

fn groups(
    keys: &mut Keys,
    counts: &Counts,
    by: usize,
    defaults: [Option<usize>; 2],
) -> Result<Groups> {
    let mut size = |key, default: Option<usize>, meaning| match default {
        Some(default) => keys.count_or(key, default, meaning),
        None => {
            let found = keys.count(key, meaning)?;
            found.ok_or_else(|| keys.wrong(key, "a number of groups", "nothing"))
        }
    };
    let count = size("n_group", defaults[0], "groups of experts")?;
    let chosen = size("topk_group", defaults[1], "groups that a token looks at")?;
    if !counts.count.is_multiple_of(count) || counts.count / count < by {
        let rule = format!(
            "a divisor of the {} experts, with {by} or more each",
            counts.count
        );
        return Err(keys.wrong("n_group", &rule, count));
    }
    if chosen > count || chosen * (counts.count / count) < counts.chosen {
        let rule = format!("at most {count}, and enough for {} experts", counts.chosen);
        return Err(keys.wrong("topk_group", &rule, chosen));
    }
    Ok(Groups { count, chosen, by })
}

fn with_experts(mut architecture: Architecture, counts: &Counts, routing: Routing) -> Architecture {
    let layers = 0..architecture.geometry.layers;
    architecture.experts = Some(Experts {
        layers: layers.map(|layer| layer >= counts.dense).collect(),
        count: counts.count,
        chosen: counts.chosen,
        hidden: counts.hidden,
        routing,
        router_bias: false,
        shared: Some(counts.shared.saturating_mul(counts.hidden)),
        shared_gate: false,
    });
    architecture
}
