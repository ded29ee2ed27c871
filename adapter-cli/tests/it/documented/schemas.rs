//! The schemas of the document, to be asked about bodies. What the document names is all that an
//! answer may have: there every object is closed.

use std::{cell::RefCell, collections::HashMap};

use boon::{Compiler, SchemaIndex};
use serde_json::Value;

/// The document as it is, and with every object closed.
const OPEN: &str = "http://localhost/openapi.json";
const CLOSED: &str = "http://localhost/closed.json";

pub(super) struct Schemas {
    state: RefCell<State>,
}

struct State {
    compiler: Compiler,
    schemas: boon::Schemas,
    compiled: HashMap<String, SchemaIndex>,
}

impl Schemas {
    pub(super) fn of(document: &Value) -> Self {
        let mut closed = document.clone();
        close(&mut closed["components"]["schemas"]);
        close(&mut closed["paths"]);
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource(OPEN, document.clone()).expect("the document");
        compiler.add_resource(CLOSED, closed).expect("the document");
        let state = State { compiler, schemas: boon::Schemas::new(), compiled: HashMap::new() };
        Self { state: RefCell::new(state) }
    }

    /// Whether an answer is as the schema says that stands at a pointer of the document.
    pub(super) fn validate_answer(&self, pointer: &str, value: &Value) -> Result<(), String> {
        self.validate(CLOSED, pointer, value)
    }

    /// Whether a request is so.
    pub(super) fn validate_request(&self, pointer: &str, value: &Value) -> Result<(), String> {
        self.validate(OPEN, pointer, value)
    }

    fn validate(&self, base: &str, pointer: &str, value: &Value) -> Result<(), String> {
        let state = &mut *self.state.borrow_mut();
        let encoded = pointer.replace('{', "%7B").replace('}', "%7D");
        let at = format!("{base}#{encoded}");
        let index = match state.compiled.get(&at) {
            Some(index) => *index,
            None => {
                let index = state.compiler.compile(&at, &mut state.schemas);
                let index = index.unwrap_or_else(|error| panic!("{pointer}: {error:#}"));
                state.compiled.insert(at, index);
                index
            }
        };
        state.schemas.validate(value, index).map_err(|error| format!("{error:#}"))
    }
}

/// Closes every object that names its members and says nothing of others.
fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let is_open = members.get("properties").is_some_and(Value::is_object)
                && !members.contains_key("additionalProperties");
            members.values_mut().for_each(close);
            if is_open {
                members.insert("additionalProperties".to_owned(), false.into());
            }
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}
