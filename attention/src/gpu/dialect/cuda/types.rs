//! Types, and constants of them.

use super::frame::{Frame, unknown};
use crate::Result;
use naga::{
    ArraySize, Expression, Handle, Literal, Scalar, ScalarKind, Type, TypeInner, VectorSize,
};

impl Frame<'_> {
    /// A type as C++ says it.
    pub(super) fn spelled(&self, ty: Handle<Type>) -> Result<String> {
        match &self.module.types[ty].inner {
            TypeInner::Struct { .. } => Ok(self.structs[&ty].clone()),
            inner => self.said(inner),
        }
    }

    /// The same of a type that has no handle; structs always have one.
    pub(super) fn said(&self, inner: &TypeInner) -> Result<String> {
        match inner {
            TypeInner::Scalar(of) | TypeInner::Atomic(of) => scalar(*of).map(str::to_string),
            TypeInner::Vector { size, scalar: of } => vector(*size, *of),
            TypeInner::Pointer { base, .. } => Ok(format!("{}&", self.spelled(*base)?)),
            TypeInner::Array {
                base,
                size: ArraySize::Constant(count),
                ..
            } => Ok(format!("Array<{}, {count}>", self.spelled(*base)?)),
            other => Err(unknown(other)),
        }
    }

    /// What an array of any length holds.
    pub(super) fn element(&self, array: Handle<Type>) -> Result<String> {
        match self.module.types[array].inner {
            TypeInner::Array {
                base,
                size: ArraySize::Dynamic,
                ..
            } => self.spelled(base),
            ref other => Err(unknown(other)),
        }
    }

    /// The declaration of a type, if it is a struct that the prelude does not declare.
    pub(super) fn declared(&self, ty: Handle<Type>) -> Result<String> {
        let special = &self.module.special_types.predeclared_types;
        let TypeInner::Struct { members, .. } = &self.module.types[ty].inner else {
            return Ok(String::new());
        };
        if special.values().any(|known| *known == ty) {
            return Ok(String::new());
        }
        let mut text = format!("struct {} {{ ", self.structs[&ty]);
        for (i, member) in members.iter().enumerate() {
            let name = self.member(ty, i as u32)?;
            text += &format!("{} {name}; ", self.spelled(member.ty)?);
        }
        Ok(text + "};\n")
    }

    /// The name of a struct's member.
    pub(super) fn member(&self, of: Handle<Type>, index: u32) -> Result<&str> {
        let TypeInner::Struct { members, .. } = &self.module.types[of].inner else {
            return Err(unknown(&self.module.types[of]));
        };
        let member = members.get(index as usize);
        let name = member.and_then(|member| member.name.as_deref());
        name.ok_or_else(|| unknown(&"a member without a name"))
    }

    /// What a variable starts with: zero where nothing is said.
    pub(super) fn first(
        &self,
        ty: Handle<Type>,
        init: Option<Handle<Expression>>,
    ) -> Result<String> {
        match init {
            Some(init) => self.constant(init),
            None => self.zero(ty),
        }
    }

    /// Zero of a type.
    pub(super) fn zero(&self, ty: Handle<Type>) -> Result<String> {
        match &self.module.types[ty].inner {
            TypeInner::Scalar(of) => {
                let zero = Literal::zero(*of);
                literal(zero.ok_or_else(|| unknown(of))?)
            }
            _ => Ok(format!("{}{{}}", self.spelled(ty)?)),
        }
    }

    /// An expression outside of functions.
    pub(super) fn constant(&self, at: Handle<Expression>) -> Result<String> {
        match &self.module.global_expressions[at] {
            Expression::Literal(value) => literal(*value),
            Expression::Constant(of) => self.constant(self.module.constants[*of].init),
            Expression::ZeroValue(ty) => self.zero(*ty),
            other => Err(unknown(other)),
        }
    }
}

/// A number as C++ writes it.
pub(super) fn literal(value: Literal) -> Result<String> {
    match value {
        Literal::F32(x) if x.is_finite() => Ok(match x.is_sign_negative() {
            true => format!("({x:?}f)"),
            false => format!("{x:?}f"),
        }),
        Literal::U32(x) => Ok(format!("{x}u")),
        Literal::Bool(x) => Ok(x.to_string()),
        other => Err(unknown(&other)),
    }
}

fn scalar(of: Scalar) -> Result<&'static str> {
    match of {
        Scalar::F32 => Ok("f32"),
        Scalar::U32 => Ok("u32"),
        Scalar {
            kind: ScalarKind::Bool,
            ..
        } => Ok("bool"),
        other => Err(unknown(&other)),
    }
}

fn vector(size: VectorSize, of: Scalar) -> Result<String> {
    match (size, of) {
        (_, Scalar::U32) => Ok(format!("u32x{}", size as u8)),
        (VectorSize::Quad, Scalar::F32) => Ok("f32x4".into()),
        other => Err(unknown(&other)),
    }
}
