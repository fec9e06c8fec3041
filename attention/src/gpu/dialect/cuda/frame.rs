//! What all functions of a kernel share.

use super::names::Names;
use crate::{Error, Result};
use naga::valid::{FunctionInfo, GlobalUse, ModuleInfo};
use naga::{
    AddressSpace, Function, GlobalVariable, Handle, Module, StorageAccess, Type, TypeInner,
};
use std::collections::HashMap;
use std::fmt::Debug;

/// What every text starts with.
pub(super) const PRELUDE: &str = include_str!("prelude.cuh");

/// An error that names what has no spelling.
pub(super) fn unknown(what: &dyn Debug) -> Error {
    Error::Argument {
        what: "a kernel for CUDA",
        expected: "what kernels are generated of".into(),
        found: format!("{what:?}"),
    }
}

/// What all functions of a kernel share.
pub(super) struct Frame<'a> {
    pub(super) module: &'a Module,
    pub(super) info: &'a ModuleInfo,
    /// All names that are taken outside of functions.
    pub(super) names: Names,
    pub(super) globals: HashMap<Handle<GlobalVariable>, String>,
    pub(super) functions: HashMap<Handle<Function>, String>,
    pub(super) structs: HashMap<Handle<Type>, String>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(module: &'a Module, info: &'a ModuleInfo) -> Result<Frame<'a>> {
        let mut names = Names::of(PRELUDE);
        let mut structs = HashMap::new();
        let exchanged = module.special_types.predeclared_types.values();
        structs.extend(exchanged.map(|ty| (*ty, "Exchanged".to_string())));
        for (handle, ty) in module.types.iter() {
            if let TypeInner::Struct { .. } = ty.inner {
                let name = || names.unique(ty.name.as_deref(), "Struct");
                structs.entry(handle).or_insert_with(name);
            }
        }
        let globals = module.global_variables.iter();
        let globals = globals.map(|(at, x)| (at, names.unique(x.name.as_deref(), "array")));
        let globals = globals.collect();
        let functions = module.functions.iter();
        let functions = functions.map(|(at, x)| (at, names.unique(x.name.as_deref(), "function")));
        let functions = functions.collect();
        Ok(Frame {
            module,
            info,
            names,
            globals,
            functions,
            structs,
        })
    }

    /// What functions get from their caller beside their arguments: the arrays and private variables that they, or what
    /// they call, use.
    pub(super) fn passed(&self, used: &FunctionInfo) -> Vec<Handle<GlobalVariable>> {
        let globals = self.module.global_variables.iter();
        let passed = globals.filter(|(handle, global)| {
            used[*handle] != GlobalUse::empty() && global.space != AddressSpace::WorkGroup
        });
        passed.map(|(handle, _)| handle).collect()
    }

    /// A storage array as a pointer, a private variable as a reference.
    pub(super) fn parameter(
        &self,
        handle: Handle<GlobalVariable>,
        restrict: &str,
    ) -> Result<String> {
        let global = &self.module.global_variables[handle];
        let name = &self.globals[&handle];
        match global.space {
            AddressSpace::Private => Ok(format!("{}& {name}", self.spelled(global.ty)?)),
            AddressSpace::Storage { access } => {
                let element = self.element(global.ty)?;
                let writes = access.contains(StorageAccess::STORE);
                let kind = if writes { "" } else { "const " };
                Ok(format!("{kind}{element}*{restrict} {name}"))
            }
            space => Err(unknown(&space)),
        }
    }
}
