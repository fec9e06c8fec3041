//! Types of elements.

/// Element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 32-bit floats.
    F32,
    /// Indices, and conditions (0 or 1).
    U32,
}

impl Kind {
    pub(super) fn text(self) -> &'static str {
        match self {
            Kind::F32 => "f32",
            Kind::U32 => "u32",
        }
    }
}
