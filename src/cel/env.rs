//! What an expression may name: variables with their types, the types that can be made, and the
//! dialect. Nothing here knows what the variables hold.

use std::sync::{Arc, LazyLock};

use crate::cel::program::{Program, Variable};
use crate::cel::types::{Fields, StructType, Type};
use crate::cel::version::Version;

/// The declarations that expressions are compiled against.
#[derive(Clone)]
pub struct Env {
    version: Version,
    roots: Vec<(String, Type)>,
    variables: Vec<Variable>,
    has_variables: bool,
    has_mutation: bool,
}

/// The name by which variables are reached.
pub(crate) const VARIABLES: &str = "variables";

impl Env {
    /// Kubernetes' language of this release, with nothing declared.
    pub fn kubernetes(version: Version) -> Env {
        Env {
            version,
            roots: Vec::new(),
            variables: Vec::new(),
            has_variables: false,
            has_mutation: false,
        }
    }

    /// Declares a variable. Its value is given at its place in the order of declaration.
    #[must_use]
    pub fn declare(mut self, name: &str, ty: Type) -> Env {
        self.roots.push((name.to_owned(), ty));
        self
    }

    /// Declares `variables`, which has a field for each call of [`Env::variable`].
    #[must_use]
    pub fn with_variables(mut self) -> Env {
        self.has_variables = true;
        self
    }

    /// Adds what mutations are made of: `Object{..}`, `JSONPatch{..}`, `jsonpatch.escapeKey`.
    #[must_use]
    pub fn mutation(mut self) -> Env {
        self.has_mutation = true;
        self
    }

    /// Declares `variables.NAME` for what is compiled after it.
    pub fn variable(&mut self, name: &str, program: Result<Program, String>) {
        let ty = program.as_ref().map_or(Type::Dyn, |program| declarable(program.output()));
        self.has_variables = true;
        self.variables.push(Variable { name: name.to_owned(), ty, program: Arc::new(program) });
    }

    /// Declares `variables.NAME` of this type, or `dyn` if there is none, for what is only checked after it.
    pub fn typed_variable(&mut self, name: &str, ty: Option<&Type>) {
        let ty = ty.map_or(Type::Dyn, declarable);
        let program = Arc::new(Err("it was only checked".to_owned()));
        self.has_variables = true;
        self.variables.push(Variable { name: name.to_owned(), ty, program });
    }

    /// The dialect.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The declared variables, in their order.
    pub(crate) fn roots(&self) -> &[(String, Type)] {
        &self.roots
    }

    /// The place and the type of a declared variable.
    pub(crate) fn root(&self, name: &str) -> Option<(u16, Type)> {
        let place = self.roots.iter().position(|(root, _)| root == name)?;
        self.roots.get(place).map(|(_, ty)| (place as u16, ty.clone()))
    }

    pub(crate) fn has_variables(&self) -> bool {
        self.has_variables
    }

    pub(crate) fn has_mutation(&self) -> bool {
        self.has_mutation
    }

    /// The variables of the policy.
    pub(crate) fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The type of a name that stands for one: `int`, `google.protobuf.Timestamp`.
    pub(crate) fn type_named(&self, name: &str) -> Option<Type> {
        Some(match name {
            "bool" => Type::Bool,
            "bytes" => Type::Bytes,
            "double" => Type::Double,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "string" => Type::String,
            "null_type" => Type::Null,
            "type" => Type::Type(None),
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            "google.protobuf.Duration" => Type::Duration,
            "google.protobuf.Timestamp" => Type::Timestamp,
            "optional_type" if self.version >= Version::v1(28) => Type::optional(Type::Dyn),
            "net.IP" if self.version >= Version::v1(30) => Type::Opaque("net.IP"),
            "net.CIDR" if self.version >= Version::v1(30) => Type::Opaque("net.CIDR"),
            _ => return self.struct_named(name),
        })
    }

    /// A struct type that expressions may make.
    pub(crate) fn struct_named(&self, name: &str) -> Option<Type> {
        if !self.has_mutation {
            return None;
        }
        match name {
            "JSONPatch" => Some(JSON_PATCH.clone()),
            _ if name == OBJECT || name.starts_with("Object.") => Some(object_named(name)),
            _ => None,
        }
    }
}

/// The name of the type that stands for the object that is changed; `Object.spec` is that of its `spec`.
const OBJECT: &str = "Object";

fn object_named(name: &str) -> Type {
    Type::Struct(Arc::new(StructType { name: name.to_owned(), fields: Fields::Any }))
}

static JSON_PATCH: LazyLock<Type> = LazyLock::new(|| {
    let fields = [
        ("op", Type::String),
        ("path", Type::String),
        ("from", Type::String),
        ("value", Type::Dyn),
    ];
    StructType::new("JSONPatch", fields)
});

impl Type {
    /// The type of `Object{..}`.
    pub fn object() -> Type {
        object_named(OBJECT)
    }

    /// The type of `JSONPatch{..}`.
    pub fn json_patch() -> Type {
        JSON_PATCH.clone()
    }
}

/// What Kubernetes remembers of the type of a variable: only simple types, lists and maps.
fn declarable(ty: &Type) -> Type {
    match ty {
        Type::List(element) => Type::list(declarable(element)),
        Type::Map(entry) => Type::map(declarable(&entry.0), declarable(&entry.1)),
        Type::Bool
        | Type::Bytes
        | Type::Double
        | Type::Duration
        | Type::Int
        | Type::Null
        | Type::String
        | Type::Timestamp
        | Type::Uint => ty.clone(),
        _ => Type::Dyn,
    }
}
