//! CUDA C++ of a kernel: what stands around its functions. Constructs that kernels do not use have no spelling here, and
//! are errors that name them.
//!
//! Variables start as zero, as in WGSL. Workgroup memory does not: WGSL would clear it with a barrier behind, but every
//! kernel writes what it reads of it.

mod body;
mod frame;
mod instructions;
mod names;
mod types;
mod values;

use super::parsed::parsed;
use super::written::Cuda;
use crate::Result;
use body::Body;
use frame::{Frame, PRELUDE, unknown};
use naga::valid::{Capabilities, FunctionInfo};
use naga::{AddressSpace, BuiltIn, EntryPoint, Function, Handle, Statement};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Threads of a warp.
const WARP: u32 = 32;

/// The same kernel as CUDA C++. Fails if `wgsl` is not valid, or with the name of what it holds that has no spelling.
pub fn cuda(wgsl: &str) -> Result<Cuda> {
    let (module, info) = parsed(wgsl, Capabilities::SUBGROUP)?;
    let [entry] = &module.entry_points[..] else {
        return Err(unknown(&"more or less than one entry point"));
    };
    let frame = Frame::new(&module, &info)?;
    Ok(Cuda {
        text: frame.text(entry)?,
        block: entry.workgroup_size,
    })
}

impl Frame<'_> {
    fn text(&self, entry: &EntryPoint) -> Result<String> {
        let mut text = format!("namespace farspan {{\n{PRELUDE}");
        let mut reached = BTreeSet::new();
        self.reach(&entry.function.body, &mut reached);
        for handle in self.module.types.iter().map(|(handle, _)| handle) {
            text += &self.declared(handle)?;
        }
        let used = self.info.get_entry_point(0);
        for (handle, global) in self.module.global_variables.iter() {
            if global.space == AddressSpace::WorkGroup && !used[handle].is_empty() {
                let of = self.spelled(global.ty)?;
                let _ = writeln!(text, "__shared__ {of} {};", self.globals[&handle]);
            }
        }
        // Callees stand before their callers.
        for (handle, function) in self.module.functions.iter() {
            if reached.contains(&handle) {
                text += &self.function(handle, function)?;
            }
        }
        text += &self.entry(entry, used)?;
        text += "}\n";
        Ok(text)
    }

    /// Adds the functions that are called, directly or not.
    fn reach(&self, block: &[Statement], reached: &mut BTreeSet<Handle<Function>>) {
        for statement in block {
            match statement {
                Statement::Call { function, .. } if reached.insert(*function) => {
                    self.reach(&self.module.functions[*function].body, reached);
                }
                Statement::Block(block) => self.reach(block, reached),
                Statement::If { accept, reject, .. } => {
                    self.reach(accept, reached);
                    self.reach(reject, reached);
                }
                Statement::Loop {
                    body, continuing, ..
                } => {
                    self.reach(body, reached);
                    self.reach(continuing, reached);
                }
                _ => {}
            }
        }
    }

    fn function(&self, handle: Handle<Function>, function: &Function) -> Result<String> {
        let used = &self.info[handle];
        let result = function.result.as_ref();
        let result = result.map_or(Ok("void".to_string()), |x| self.spelled(x.ty))?;
        let mut arguments = Vec::new();
        for global in self.passed(used) {
            arguments.push(self.parameter(global, "")?);
        }
        let mut body = Body::new(self, function, used);
        let mut names = Vec::new();
        for argument in &function.arguments {
            let name = body.argument(argument.name.as_deref());
            arguments.push(format!("{} {name}", self.spelled(argument.ty)?));
            names.push(name);
        }
        let name = &self.functions[&handle];
        let arguments = arguments.join(", ");
        let text = instructions::or_else(name, &names, body.text("")?);
        Ok(format!(
            "static __device__ __forceinline__ {result} {name}({arguments}) {{\n{text}}}\n"
        ))
    }

    fn entry(&self, entry: &EntryPoint, used: &FunctionInfo) -> Result<String> {
        let mut bound = Vec::new();
        let mut start = String::new();
        for (handle, global) in self.module.global_variables.iter() {
            match (global.space, global.binding) {
                (AddressSpace::Storage { .. }, Some(at)) => bound.push((at, handle)),
                (AddressSpace::WorkGroup, _) => {}
                (AddressSpace::Private, _) if used[handle].is_empty() => {}
                (AddressSpace::Private, _) => {
                    let first = self.first(global.ty, global.init)?;
                    start += &format!(
                        "    {} {} = {first};\n",
                        self.spelled(global.ty)?,
                        self.globals[&handle]
                    );
                }
                (space, _) => return Err(unknown(&space)),
            }
        }
        bound.sort_by_key(|(at, _)| *at);
        let mut arguments = Vec::new();
        for (i, (at, handle)) in bound.into_iter().enumerate() {
            if (at.group, at.binding) != (0, i as u32) {
                return Err(unknown(&at));
            }
            arguments.push(self.parameter(handle, " __restrict__")?);
        }
        let mut body = Body::new(self, &entry.function, used);
        for argument in &entry.function.arguments {
            let name = body.argument(argument.name.as_deref());
            let Some(naga::Binding::BuiltIn(given)) = argument.binding else {
                return Err(unknown(&argument.binding));
            };
            let value = built_in(given, entry.workgroup_size)?;
            start += &format!(
                "    const {} {name} = {value};\n",
                self.spelled(argument.ty)?
            );
        }
        let threads: u32 = entry.workgroup_size.iter().product();
        // Of one block a multiprocessor has registers enough; asked for more, the assembler spills to make room for them.
        let arguments = arguments.join(", ");
        let text = body.text(&start)?;
        Ok(format!(
            "extern \"C\" __global__ void __launch_bounds__({threads}, 1) farspan_kernel({arguments}) {{\n{text}}}\n"
        ))
    }
}

/// What WGSL tells a thread of its place, in workgroups of this size.
fn built_in(asked: BuiltIn, [x, y, z]: [u32; 3]) -> Result<String> {
    let threads = x * y * z;
    let lane = match (y, z) {
        (1, 1) => "threadIdx.x".to_string(),
        _ => format!("threadIdx.x + {x}u * (threadIdx.y + {y}u * threadIdx.z)"),
    };
    let subgroups = matches!(
        asked,
        BuiltIn::NumSubgroups | BuiltIn::SubgroupId | BuiltIn::SubgroupInvocationId
    );
    if subgroups && !threads.is_multiple_of(WARP) {
        return Err(unknown(
            &"subgroups of a workgroup that is no multiple of a warp",
        ));
    }
    let all = |of: &str| format!("u32x3{{{of}.x, {of}.y, {of}.z}}");
    Ok(match asked {
        BuiltIn::WorkGroupId => all("blockIdx"),
        BuiltIn::NumWorkGroups => all("gridDim"),
        BuiltIn::LocalInvocationId => all("threadIdx"),
        BuiltIn::LocalInvocationIndex => lane,
        BuiltIn::SubgroupId => format!("({lane}) / {WARP}u"),
        BuiltIn::SubgroupInvocationId => format!("({lane}) % {WARP}u"),
        BuiltIn::NumSubgroups => format!("{}u", threads / WARP),
        BuiltIn::SubgroupSize => format!("{WARP}u"),
        other => return Err(unknown(&other)),
    })
}
