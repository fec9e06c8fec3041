//! Functions of kernels that the hardware has an instruction for. WGSL says what they do; that is what runs where no card
//! does, which is how tests see whether the kernels around them are right.

/// Their names, and the statements in their place; `$0` stands for the first argument. From sm_80 on.
const INSTRUCTIONS: [(&str, &str); 3] = [
    (
        // PTX ISA, "mma.m16n8k16 with .bf16".
        "mma",
        "    asm volatile(\"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\"
        : \"+f\"($0.x), \"+f\"($0.y), \"+f\"($0.z), \"+f\"($0.w)
        : \"r\"($1.x), \"r\"($1.y), \"r\"($1.z), \"r\"($1.w), \"r\"($2.x), \"r\"($2.y));
    return $0;
",
    ),
    (
        "packed",
        "    u32 both_halves;
    asm(\"cvt.rn.bf16x2.f32 %0, %1, %2;\" : \"=r\"(both_halves) : \"f\"($1), \"f\"($0));
    return both_halves;
",
    ),
    (
        "halves",
        "    return __byte_perm($0, $1, $2 ? 0x7632u : 0x5410u);\n",
    ),
];

/// `text`, the statements of a function, or on a card the instruction in their place if there is one.
pub(super) fn or_else(name: &str, arguments: &[String], text: String) -> String {
    let Some((_, shorter)) = INSTRUCTIONS.iter().find(|(known, _)| *known == name) else {
        return text;
    };
    let mut one = shorter.to_string();
    for (i, argument) in arguments.iter().enumerate() {
        one = one.replace(&format!("${i}"), argument);
    }
    format!("#ifdef __CUDA_ARCH__\n{one}#else\n{text}#endif\n")
}
