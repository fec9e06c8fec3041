//! The statements of a function.

use super::frame::{Frame, unknown};
use super::names::Names;
use super::values::{Values, bare, operands};
use crate::Result;
use naga::valid::FunctionInfo;
use naga::{
    AtomicFunction, CollectiveOperation, Expression, Function, GatherMode, Handle, ScalarKind,
    Statement, SubgroupOperation, TypeInner,
};
use std::collections::HashMap;
use std::fmt::Write;

/// One function as it is written.
pub(super) struct Body<'a> {
    values: Values<'a>,
    names: Names,
    /// What `continue` means in each loop that is open.
    onward: Vec<String>,
    text: String,
    depth: usize,
}

impl<'a> Body<'a> {
    pub(super) fn new(
        frame: &'a Frame<'a>,
        function: &'a Function,
        info: &'a FunctionInfo,
    ) -> Body<'a> {
        Body {
            values: Values::new(frame, function, info),
            names: frame.names.clone(),
            onward: Vec::new(),
            text: String::new(),
            depth: 0,
        }
    }

    /// A name for the next argument.
    pub(super) fn argument(&mut self, name: Option<&str>) -> String {
        let name = self.names.unique(name, "argument");
        self.values.arguments.push(name.clone());
        name
    }

    /// All between the braces, behind `start`.
    pub(super) fn text(mut self, start: &str) -> Result<String> {
        self.text = start.to_string();
        self.depth = 1;
        for (handle, local) in self.values.function.local_variables.iter() {
            let name = self.names.unique(local.name.as_deref(), "both");
            let first = match local.init {
                Some(init) => self.values.value(init)?,
                None => self.values.frame.zero(local.ty)?,
            };
            let of = self.values.frame.spelled(local.ty)?;
            self.line(&format!("{of} {name} = {first};"));
            self.values.locals.insert(handle, name);
        }
        match &self.values.function.body[..] {
            [body @ .., Statement::Return { value: None }] => self.block(body)?,
            body => self.block(body)?,
        }
        Ok(self.text)
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{:1$}{line}", "", 4 * self.depth);
    }

    /// What was named within is unknown behind.
    fn block(&mut self, block: &[Statement]) -> Result<()> {
        let known = self.values.named.clone();
        let mut emitted = Vec::new();
        for statement in block {
            if let Statement::Emit(range) = statement {
                emitted.extend(range.clone());
                continue;
            }
            self.emit(std::mem::take(&mut emitted), statement)?;
            self.statement(statement)?;
        }
        self.values.named = known;
        Ok(())
    }

    fn braces(&mut self, before: &str, block: &[Statement]) -> Result<()> {
        self.line(&format!("{before}{{"));
        self.depth += 1;
        self.block(block)?;
        self.depth -= 1;
        self.line("}");
        Ok(())
    }

    /// Gives names to values that are used several times, that a program named, or that would change before they are
    /// used; all others are written where they are used, which is in `next` or in what is named here.
    fn emit(&mut self, emitted: Vec<Handle<Expression>>, next: &Statement) -> Result<()> {
        self.values
            .named
            .extend(emitted.iter().map(|at| (*at, None)));
        let mut uses: HashMap<Handle<Expression>, usize> = HashMap::new();
        let mut reads = used_at_once(next);
        let mut wanted = Vec::new();
        for at in emitted.into_iter().rev() {
            for one in reads.drain(..) {
                *uses.entry(one).or_default() += 1;
            }
            let all_here = uses.get(&at) == Some(&self.values.info[at].ref_count);
            let name = self.is_to_be_named(at, all_here);
            if name {
                wanted.push(at);
            }
            if name || all_here {
                reads = operands(&self.values.function.expressions[at])?;
            }
        }
        for at in wanted.into_iter().rev() {
            let value = self.values.value(at)?;
            self.name(at, &value)?;
        }
        Ok(())
    }

    fn is_to_be_named(&self, at: Handle<Expression>, all_here: bool) -> bool {
        let expression = &self.values.function.expressions[at];
        let pointer = matches!(
            self.values.inner(at),
            TypeInner::Pointer { .. } | TypeInner::ValuePointer { .. }
        );
        let count = self.values.info[at].ref_count;
        let changes = matches!(expression, Expression::Load { .. }) && !all_here;
        let named = self.values.function.named_expressions.contains_key(&at);
        !pointer && count > 0 && (count > 1 || named || changes)
    }

    /// `const T name = value;`
    fn name(&mut self, at: Handle<Expression>, value: &str) -> Result<()> {
        let wanted = self.values.function.named_expressions.get(&at);
        let wanted = wanted.map(String::as_str);
        let name = self.names.unique(wanted, &format!("t{}", at.index()));
        let of = self.values.type_of(at)?;
        self.line(&format!("const {of} {name} = {};", bare(value)));
        self.values.named.insert(at, Some(name));
        Ok(())
    }

    fn statement(&mut self, statement: &Statement) -> Result<()> {
        match statement {
            Statement::Block(block) => self.braces("", block)?,
            Statement::If {
                condition,
                accept,
                reject,
            } => {
                let condition = self.values.value(*condition)?;
                let condition = bare(&condition);
                if accept.is_empty() {
                    return self.braces(&format!("if (!({condition})) "), reject);
                }
                self.braces(&format!("if ({condition}) "), accept)?;
                if !reject.is_empty() {
                    self.braces("else ", reject)?;
                }
            }
            Statement::Loop {
                body,
                continuing,
                break_if,
            } => self.repeat(body, continuing, *break_if)?,
            Statement::Break => self.line("break;"),
            Statement::Continue => {
                let onward = self.onward.last().cloned();
                self.line(&onward.ok_or_else(|| unknown(statement))?);
            }
            Statement::Return { value: None } => self.line("return;"),
            Statement::Return { value: Some(value) } => {
                let value = self.values.value(*value)?;
                self.line(&format!("return {};", bare(&value)));
            }
            // All kinds make every thread of a workgroup wait, and CUDA's orders both kinds of memory.
            Statement::ControlBarrier(kind) if !kind.contains(naga::Barrier::SUB_GROUP) => {
                self.line("__syncthreads();");
            }
            Statement::Store { pointer, value } => {
                let (place, value) = (self.values.place(*pointer)?, self.values.value(*value)?);
                let value = bare(&value);
                match self.values.is_atomic(*pointer) {
                    true => self.line(&format!("atomic_store({place}, {value});")),
                    false => self.line(&format!("{place} = {value};")),
                }
            }
            Statement::Atomic {
                pointer,
                fun: AtomicFunction::Exchange { compare: Some(old) },
                value,
                result: Some(result),
            } => {
                let (place, old) = (self.values.place(*pointer)?, self.values.value(*old)?);
                let next = self.values.value(*value)?;
                self.name(*result, &format!("atomic_exchange({place}, {old}, {next})"))?;
            }
            Statement::Call {
                function,
                arguments,
                result,
            } => {
                let passed = self
                    .values
                    .frame
                    .passed(&self.values.frame.info[*function])
                    .into_iter();
                let passed = passed.map(|global| Ok(self.values.frame.globals[&global].clone()));
                let given = arguments.iter().map(|argument| self.argument_of(*argument));
                let given = passed.chain(given).collect::<Result<Vec<_>>>()?.join(", ");
                let call = format!("{}({given})", self.values.frame.functions[function]);
                match result {
                    Some(result) => self.name(*result, &call)?,
                    None => self.line(&format!("{call};")),
                }
            }
            Statement::SubgroupCollectiveOperation {
                op,
                collective_op: CollectiveOperation::Reduce,
                argument,
                result,
            } => {
                let name = match (op, self.values.kind(*argument)?) {
                    (SubgroupOperation::Add, ScalarKind::Float) => "subgroup_add",
                    (SubgroupOperation::Max, ScalarKind::Float) => "subgroup_max",
                    (SubgroupOperation::Min, ScalarKind::Float) => "subgroup_min",
                    other => return Err(unknown(&other)),
                };
                let argument = self.values.value(*argument)?;
                self.name(*result, &format!("{name}({})", bare(&argument)))?;
            }
            Statement::SubgroupGather {
                mode,
                argument,
                result,
            } => {
                let (name, which) = match mode {
                    GatherMode::Shuffle(from) => ("shuffle", *from),
                    GatherMode::ShuffleXor(mask) => ("shuffle_xor", *mask),
                    other => return Err(unknown(other)),
                };
                let (x, which) = (self.values.value(*argument)?, self.values.value(which)?);
                let call = format!("{name}({}, {})", bare(&x), bare(&which));
                self.name(*result, &call)?;
            }
            other => return Err(unknown(other)),
        }
        Ok(())
    }

    /// A pointer that a function takes is a reference to the place.
    fn argument_of(&self, at: Handle<Expression>) -> Result<String> {
        match self.values.inner(at) {
            TypeInner::Pointer { .. } => self.values.place(at),
            _ => self.values.value(at).map(|value| bare(&value).to_string()),
        }
    }

    fn repeat(
        &mut self,
        body: &[Statement],
        continuing: &[Statement],
        break_if: Option<Handle<Expression>>,
    ) -> Result<()> {
        self.line("for (;;) {");
        self.depth += 1;
        // A compiler counts the turns of a loop that has no flag, so `continue` jumps to what comes last.
        let label = self.names.unique(None, "onward");
        self.onward.push(format!("goto {label};"));
        // It must not jump over what is named beside it.
        let jumps = match body {
            [before @ .., Statement::Block(_)] => before.iter().any(goes_on),
            all => all.iter().any(goes_on),
        };
        match jumps {
            true => self.braces("", body)?,
            false => self.block(body)?,
        }
        if body.iter().any(goes_on) {
            self.line(&format!("{label}:;"));
        }
        self.onward.pop();
        let known = self.values.named.clone();
        self.block(continuing)?;
        if let Some(condition) = break_if {
            let condition = self.values.value(condition)?;
            self.line(&format!("if ({}) {{ break; }}", bare(&condition)));
        }
        self.values.named = known;
        self.depth -= 1;
        self.line("}");
        Ok(())
    }
}

/// Whether a `continue` occurs that is not of a loop inside.
fn goes_on(statement: &Statement) -> bool {
    match statement {
        Statement::Continue => true,
        Statement::Block(block) => block.iter().any(goes_on),
        Statement::If { accept, reject, .. } => accept.iter().chain(reject).any(goes_on),
        _ => false,
    }
}

/// The values that a statement reads before it does anything.
fn used_at_once(statement: &Statement) -> Vec<Handle<Expression>> {
    match statement {
        Statement::If { condition, .. } => vec![*condition],
        Statement::Return { value } => value.iter().copied().collect(),
        Statement::Store { pointer, value } => vec![*pointer, *value],
        Statement::Call { arguments, .. } => arguments.clone(),
        Statement::SubgroupCollectiveOperation { argument, .. } => vec![*argument],
        Statement::SubgroupGather {
            mode: GatherMode::Shuffle(which) | GatherMode::ShuffleXor(which),
            argument,
            ..
        } => vec![*argument, *which],
        _ => Vec::new(),
    }
}
