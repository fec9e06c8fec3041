//! Tasks whose prompts are made from a seed.

pub mod passkey;
