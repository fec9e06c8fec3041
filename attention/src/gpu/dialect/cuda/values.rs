//! The expressions of a function.

use super::frame::{Frame, unknown};
use super::types::literal;
use crate::Result;
use naga::proc::TypeResolution;
use naga::valid::FunctionInfo;
use naga::{
    BinaryOperator, Expression, Function, Handle, Literal, LocalVariable, MathFunction, ScalarKind,
    TypeInner, UnaryOperator,
};
use std::collections::HashMap;

/// One function, and what is known of it where its text has come to.
pub(super) struct Values<'a> {
    pub(super) frame: &'a Frame<'a>,
    pub(super) function: &'a Function,
    pub(super) info: &'a FunctionInfo,
    pub(super) arguments: Vec<String>,
    pub(super) locals: HashMap<Handle<LocalVariable>, String>,
    /// Values that are known in the blocks that are open, and their names if they have any.
    pub(super) named: HashMap<Handle<Expression>, Option<String>>,
}

impl<'a> Values<'a> {
    pub(super) fn new(
        frame: &'a Frame<'a>,
        function: &'a Function,
        info: &'a FunctionInfo,
    ) -> Values<'a> {
        Values {
            frame,
            function,
            info,
            arguments: Vec::new(),
            locals: HashMap::new(),
            named: HashMap::new(),
        }
    }

    /// What a value, or what a pointer points to, is.
    pub(super) fn inner(&self, at: Handle<Expression>) -> &TypeInner {
        self.info[at].ty.inner_with(&self.frame.module.types)
    }

    pub(super) fn type_of(&self, at: Handle<Expression>) -> Result<String> {
        match &self.info[at].ty {
            TypeResolution::Handle(ty) => self.frame.spelled(*ty),
            TypeResolution::Value(inner) => self.frame.said(inner),
        }
    }

    /// The kind of a number. Fails for all that is no single number.
    pub(super) fn kind(&self, at: Handle<Expression>) -> Result<ScalarKind> {
        match self.inner(at) {
            TypeInner::Scalar(scalar) => Ok(scalar.kind),
            other => Err(unknown(other)),
        }
    }

    pub(super) fn is_atomic(&self, pointer: Handle<Expression>) -> bool {
        match self.inner(pointer) {
            TypeInner::Pointer { base, .. } => {
                let base = &self.frame.module.types[*base].inner;
                matches!(base, TypeInner::Atomic(_))
            }
            _ => false,
        }
    }

    /// What a pointer points to, as something that can be assigned to.
    pub(super) fn place(&self, at: Handle<Expression>) -> Result<String> {
        match &self.function.expressions[at] {
            Expression::GlobalVariable(global) => Ok(self.frame.globals[global].clone()),
            Expression::LocalVariable(local) => Ok(self.locals[local].clone()),
            Expression::FunctionArgument(index) => Ok(self.arguments[*index as usize].clone()),
            Expression::Access { base, index } => {
                let index = self.value(*index)?;
                self.element(*base, &self.place(*base)?, &index)
            }
            Expression::AccessIndex { base, index } => {
                self.part(*base, &self.place(*base)?, *index)
            }
            other => Err(unknown(other)),
        }
    }

    /// An element of `base`, which is an array or a pointer to one.
    fn element(&self, base: Handle<Expression>, place: &str, index: &str) -> Result<String> {
        let types = &self.frame.module.types;
        let inner = match self.inner(base) {
            TypeInner::Pointer { base, .. } => &types[*base].inner,
            inner => inner,
        };
        let index = bare(index);
        match inner {
            TypeInner::Array {
                size: naga::ArraySize::Dynamic,
                ..
            } => Ok(format!("{place}[{index}]")),
            TypeInner::Array { .. } => Ok(format!("{place}.at[{index}]")),
            other => Err(unknown(other)),
        }
    }

    /// A numbered part of `base`: of an array, a vector or a struct, or of what a pointer points to.
    fn part(&self, base: Handle<Expression>, place: &str, index: u32) -> Result<String> {
        let types = &self.frame.module.types;
        let (handle, inner) = match (&self.info[base].ty, self.inner(base)) {
            (_, TypeInner::Pointer { base, .. }) => (Some(*base), &types[*base].inner),
            (TypeResolution::Handle(handle), inner) => (Some(*handle), inner),
            (TypeResolution::Value(_), inner) => (None, inner),
        };
        match (handle, inner) {
            (_, TypeInner::Vector { .. }) => {
                let name = ["x", "y", "z", "w"].get(index as usize);
                let name = name.ok_or_else(|| unknown(&index))?;
                Ok(format!("{place}.{name}"))
            }
            (Some(of), TypeInner::Struct { .. }) => {
                Ok(format!("{place}.{}", self.frame.member(of, index)?))
            }
            _ => self.element(base, place, &format!("{index}u")),
        }
    }

    /// A value: its name if it has one. Whatever binds less than a call is in parentheses.
    pub(super) fn value(&self, at: Handle<Expression>) -> Result<String> {
        let expression = &self.function.expressions[at];
        match self.named.get(&at) {
            Some(Some(name)) => return Ok(name.clone()),
            // It may have changed since.
            None if !expression.needs_pre_emit() => {
                return Err(unknown(&"a value from a block that is closed"));
            }
            _ => {}
        }
        match expression {
            Expression::Literal(value) => literal(*value),
            Expression::Constant(of) => {
                let constant = &self.frame.module.constants[*of];
                self.frame.constant(constant.init)
            }
            Expression::ZeroValue(ty) => self.frame.zero(*ty),
            Expression::Compose { ty, components } => {
                let of = self.frame.spelled(*ty)?;
                let parts = components.iter().map(|part| self.value(*part));
                let parts = parts.collect::<Result<Vec<_>>>()?.join(", ");
                Ok(format!("{of}{{{parts}}}"))
            }
            Expression::Access { base, index } => {
                let index = self.value(*index)?;
                self.element(*base, &self.value(*base)?, &index)
            }
            Expression::AccessIndex { base, index } => {
                self.part(*base, &self.value(*base)?, *index)
            }
            Expression::FunctionArgument(index) => Ok(self.arguments[*index as usize].clone()),
            Expression::Load { pointer } => {
                let place = self.place(*pointer)?;
                Ok(match self.is_atomic(*pointer) {
                    true => format!("atomic_load({place})"),
                    false => place,
                })
            }
            Expression::Unary { op, expr } => self.unary(*op, *expr),
            Expression::Binary { op, left, right } => self.binary(*op, *left, *right),
            Expression::Select {
                condition,
                accept,
                reject,
            } => {
                let condition = self.value(*condition)?;
                let (yes, no) = (self.value(*accept)?, self.value(*reject)?);
                Ok(format!("({condition} ? {yes} : {no})"))
            }
            Expression::Math {
                fun,
                arg,
                arg1,
                arg2,
                arg3: None,
            } => {
                let name = math(*fun, self.kind(*arg)?).ok_or_else(|| unknown(fun))?;
                let all = [Some(*arg), *arg1, *arg2].into_iter().flatten();
                let all = all.map(|x| self.value(x)).collect::<Result<Vec<_>>>()?;
                Ok(format!("{name}({})", all.join(", ")))
            }
            Expression::As {
                expr,
                kind,
                convert,
            } => self.converted(*expr, *kind, *convert),
            other => Err(unknown(other)),
        }
    }

    fn unary(&self, op: UnaryOperator, x: Handle<Expression>) -> Result<String> {
        let value = self.value(x)?;
        match (op, self.kind(x)?) {
            (UnaryOperator::Negate, ScalarKind::Float) => Ok(format!("(-{value})")),
            (UnaryOperator::LogicalNot, ScalarKind::Bool) => Ok(format!("(!{value})")),
            (UnaryOperator::BitwiseNot, ScalarKind::Uint) => Ok(format!("(~{value})")),
            other => Err(unknown(&other)),
        }
    }

    fn binary(
        &self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Result<String> {
        use BinaryOperator as Op;
        use ScalarKind::{Bool, Float, Uint};
        let (x, y) = (self.value(left)?, self.value(right)?);
        let kind = self.kind(left)?;
        self.kind(right)?;
        let infix = match (op, kind) {
            (Op::Add, Float | Uint) => "+",
            (Op::Subtract, Float | Uint) => "-",
            (Op::Multiply, Float | Uint) => "*",
            (Op::Divide, Float) => "/",
            (Op::Divide, Uint) if self.is_positive(right) => "/",
            (Op::Divide, Uint) => return Ok(format!("quotient({x}, {y})")),
            (Op::Modulo, Uint) if self.is_positive(right) => "%",
            (Op::Modulo, Uint) => return Ok(format!("remains({x}, {y})")),
            (Op::Equal, _) => "==",
            (Op::NotEqual, _) => "!=",
            (Op::Less, Float | Uint) => "<",
            (Op::LessEqual, Float | Uint) => "<=",
            (Op::Greater, Float | Uint) => ">",
            (Op::GreaterEqual, Float | Uint) => ">=",
            (Op::And, Uint | Bool) => "&",
            (Op::InclusiveOr, Uint | Bool) => "|",
            (Op::ExclusiveOr, Uint) => "^",
            (Op::ShiftLeft, Uint) => return Ok(format!("({x} << ({y} & 31u))")),
            (Op::ShiftRight, Uint) => return Ok(format!("({x} >> ({y} & 31u))")),
            other => return Err(unknown(&other)),
        };
        Ok(format!("({x} {infix} {y})"))
    }

    /// Whether it is a whole number other than zero for certain.
    fn is_positive(&self, at: Handle<Expression>) -> bool {
        let module = &self.frame.module;
        let expression = match &self.function.expressions[at] {
            Expression::Constant(of) => &module.global_expressions[module.constants[*of].init],
            other => other,
        };
        matches!(expression, Expression::Literal(Literal::U32(1..)))
    }

    fn converted(
        &self,
        x: Handle<Expression>,
        to: ScalarKind,
        convert: Option<u8>,
    ) -> Result<String> {
        use ScalarKind::{Bool, Float, Uint};
        let value = self.value(x)?;
        let from = self.kind(x)?;
        Ok(match (from, to, convert) {
            (Float, Uint, None) => format!("bits<u32>({value})"),
            (Uint, Float, None) => format!("bits<f32>({value})"),
            (Uint, Float, Some(4)) => format!("((f32){value})"),
            (Float, Uint, Some(4)) => format!("whole({value})"),
            (Bool, Uint, Some(4)) => format!("({value} ? 1u : 0u)"),
            (Bool, Float, Some(4)) => format!("({value} ? 1.0f : 0.0f)"),
            (Uint, Bool, Some(1)) => format!("({value} != 0u)"),
            (Uint, Uint, _) | (Float, Float, Some(4)) => value,
            other => return Err(unknown(&other)),
        })
    }
}

/// The function of the prelude or of CUDA's library; none of the fast and inaccurate ones.
fn math(fun: MathFunction, kind: ScalarKind) -> Option<&'static str> {
    use MathFunction as Math;
    use ScalarKind::{Float, Uint};
    Some(match (fun, kind) {
        (Math::Abs, Float) => "fabsf",
        (Math::Min, Float | Uint) => "min",
        (Math::Max, Float | Uint) => "max",
        (Math::Clamp, Float | Uint) => "clamp",
        (Math::Sign, Float) => "sign",
        (Math::Exp, Float) => "expf",
        (Math::Exp2, Float) => "exp2f",
        (Math::Log, Float) => "logf",
        (Math::Log2, Float) => "log2f",
        (Math::Pow, Float) => "powf",
        (Math::Sqrt, Float) => "sqrtf",
        (Math::Tanh, Float) => "tanhf",
        (Math::Sin, Float) => "sinf",
        (Math::Cos, Float) => "cosf",
        (Math::Floor, Float) => "floorf",
        (Math::Ceil, Float) => "ceilf",
        (Math::Fma, Float) => "fmaf",
        _ => return None,
    })
}

/// What an expression is made of. Fails for those without a spelling.
pub(super) fn operands(expression: &Expression) -> Result<Vec<Handle<Expression>>> {
    Ok(match expression {
        Expression::Literal(_)
        | Expression::Constant(_)
        | Expression::ZeroValue(_)
        | Expression::FunctionArgument(_)
        | Expression::GlobalVariable(_)
        | Expression::LocalVariable(_)
        | Expression::CallResult(_)
        | Expression::AtomicResult { .. }
        | Expression::SubgroupOperationResult { .. } => Vec::new(),
        Expression::Compose { components, .. } => components.clone(),
        Expression::Access { base, index } => vec![*base, *index],
        Expression::AccessIndex { base: x, .. }
        | Expression::Load { pointer: x }
        | Expression::Unary { expr: x, .. }
        | Expression::As { expr: x, .. } => vec![*x],
        Expression::Binary { left, right, .. } => vec![*left, *right],
        Expression::Select {
            condition,
            accept,
            reject,
        } => vec![*condition, *accept, *reject],
        Expression::Math {
            arg,
            arg1,
            arg2,
            arg3,
            ..
        } => {
            let all = [Some(*arg), *arg1, *arg2, *arg3];
            all.into_iter().flatten().collect()
        }
        other => return Err(unknown(other)),
    })
}

/// Without the parentheses around all of it.
pub(super) fn bare(value: &str) -> &str {
    let Some(inner) = value.strip_prefix('(').and_then(|x| x.strip_suffix(')')) else {
        return value;
    };
    let mut depth = 0i32;
    for c in inner.chars() {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth < 0 {
            return value;
        }
    }
    inner
}
