//! JSON Schemas (draft 2020-12) of what others read and write, made from the types themselves.
//!
//! What the service writes is described as it is: a field that it always writes is required, and one that it does not
//! know is not allowed. What it reads is described as it takes it: unknown fields are ignored.

pub mod files;
pub mod services;
pub mod sockets;
pub mod subjects;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, transform};
use serde_json::{Map, Value};

/// Where the named schemas stand in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `$defs` of a schema.
    Defs,
    /// `components.schemas` of OpenAPI and AsyncAPI.
    Components,
}

/// Collects the schemas that a document refers to.
pub struct Definitions {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Definitions {
    pub fn new(place: Place) -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.meta_schema = None;
            settings.definitions_path = match place {
                Place::Defs => "/$defs".into(),
                Place::Components => "/components/schemas".into(),
            };
            settings.transforms.push(Box::new(transform::RecursiveTransform(plain)));
        });
        Self {
            read: settings.clone().for_deserialize().into_generator(),
            written: settings.for_serialize().into_generator(),
        }
    }

    /// The schema of something that the service reads: a reference, if it has a name.
    pub fn read<T: JsonSchema>(&mut self) -> Value {
        self.read.subschema_for::<T>().to_value()
    }

    /// The schema of something that the service writes.
    pub fn written<T: JsonSchema>(&mut self) -> Value {
        self.written.subschema_for::<T>().to_value()
    }

    /// The named schemas.
    ///
    /// # Panics
    /// When one name stands for two things; a test makes all documents.
    pub fn finish(mut self) -> Map<String, Value> {
        let mut all = self.read.take_definitions(true);
        for (name, schema) in self.written.take_definitions(true) {
            let other = all.insert(name.clone(), schema.clone());
            assert!(other.is_none_or(|other| other == schema), "{name} has two schemas");
        }
        all
    }
}

/// `uint64` and the like are Rust's, not the standard's; and what is left out is absent, not null.
fn plain(schema: &mut Schema) {
    if schema.get("format").and_then(Value::as_str).is_some_and(|format| format.contains("int")) {
        schema.remove("format");
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
}
