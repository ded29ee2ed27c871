//! The OpenAPI document: paths and operations from the table of routes, schemas from a file.

use serde_json::{Map, Value, json};

use crate::table::{Access, Content, OPERATIONS, Operation, Query};

/// The schemas that the table names, and the problems that any operation may answer with.
const COMPONENTS: &str = include_str!("openapi/components.json");

/// The document, OpenAPI 3.1.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| path_item(operation.path));
        if let Some(path) = path.as_object_mut() {
            let method = operation.verb.name().to_ascii_lowercase();
            path.insert(method, described(operation));
        }
    }
    let components: Value = serde_json::from_str(COMPONENTS).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Counterfoil",
            "description": "Postback tracking that answers durably, counts once, computes \
                            exactly and explains every decision. Beside what stands at each \
                            operation, any request may be answered 400, 404, 405 or 431 before \
                            it is known which operation it asks for.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": components,
    })
}

/// What all operations of a path share: the parameters in it.
fn path_item(path: &str) -> Value {
    let parameters: Vec<Value> = path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| parameter(name, "path", true))
        .collect();
    let mut item = Map::new();
    if !parameters.is_empty() {
        item.insert("parameters".into(), parameters.into());
    }
    item.into()
}

fn parameter(name: &str, place: &str, required: bool) -> Value {
    json!({ "name": name, "in": place, "required": required, "schema": { "type": "string" } })
}

fn described(operation: &Operation) -> Value {
    let id = format!("{:?}", operation.endpoint);
    let mut described = json!({
        "operationId": format!("{}{id}", operation.verb.name().to_ascii_lowercase()),
        "summary": operation.summary,
        "tags": [operation.listener.name()],
        "responses": responses(operation),
        "security": security(operation.access),
    });
    let Some(members) = described.as_object_mut() else {
        return described;
    };
    let parameters = query(operation.query);
    if !parameters.is_empty() {
        members.insert("parameters".into(), parameters.into());
    }
    if let Some(content) = content(operation.body) {
        let body = json!({ "content": content, "required": operation.body != Content::Parameters });
        members.insert("requestBody".into(), body);
    }
    described
}

fn security(access: Access) -> Value {
    match access {
        Access::Open => json!([]),
        Access::Tenant => json!([{ "tenantToken": [] }, { "adminToken": [] }]),
        Access::Affiliate => json!([{ "adminToken": [] }, { "affiliateToken": [] }]),
        Access::Admin => json!([{ "adminToken": [] }]),
    }
}

fn query(query: Query) -> Vec<Value> {
    let named = |names: &[&str]| names.iter().map(|name| parameter(name, "query", false)).collect();
    let free = |schema: &str| {
        json!({
            "name": "parameters", "in": "query", "style": "form", "explode": true,
            "schema": { "$ref": format!("#/components/schemas/{schema}") },
        })
    };
    match query {
        Query::None => Vec::new(),
        Query::Postback => vec![free("PostbackParameters")],
        Query::Link => vec![free("LinkParameters")],
        Query::Filters(names) => named(names),
    }
}

/// The answers of the table, and those that every operation of its kind may give.
fn responses(operation: &Operation) -> Value {
    let mut responses = Map::new();
    for (status, answer) in operation.answers {
        let mut response = json!({
            "description": status.canonical_reason().unwrap_or_default(),
        });
        if let (Some(members), Some(content)) = (response.as_object_mut(), content(*answer)) {
            members.insert("content".into(), content);
        }
        responses.insert(status.as_str().into(), response);
    }
    let with_body: &[&str] = match operation.body {
        Content::Empty => &[],
        _ => &["400", "408", "413", "415"],
    };
    let with_access: &[&str] = match operation.access {
        // Senders prove what the definition asks for.
        Access::Open if operation.query == Query::Postback => &["401", "403", "429"],
        Access::Open => &[],
        Access::Tenant | Access::Affiliate => &["401", "429"],
        // An affiliate's token is known, and may not.
        Access::Admin => &["401", "403", "429"],
    };
    let any = ["414", "503"].iter();
    for status in with_body.iter().chain(with_access).chain(any) {
        let problem = json!({ "$ref": "#/components/responses/Problem" });
        responses.entry(*status).or_insert(problem);
    }
    responses.into()
}

fn content(content: Content) -> Option<Value> {
    let reference = |schema: &str| json!({ "$ref": format!("#/components/schemas/{schema}") });
    let text = || json!({ "schema": { "type": "string" } });
    Some(match content {
        Content::Empty => return None,
        Content::Parameters => json!({
            "application/x-www-form-urlencoded": { "schema": reference("PostbackParameters") },
            "application/json": { "schema": reference("PostbackParameters") },
        }),
        Content::Rules => json!({
            "application/toml": text(),
            "application/json": { "schema": { "type": "object" } },
        }),
        Content::Json(schema) => json!({ "application/json": { "schema": reference(schema) } }),
        Content::Outcome => json!({
            "application/json": { "schema": reference("Answer") },
            // The last three where a dialect of the rules answers so.
            "text/plain": text(),
            "text/html": text(),
            "text/xml": text(),
            "application/xml": text(),
        }),
        Content::Page(schema) => json!({ "application/json": { "schema": {
            "type": "object",
            "required": ["items", "next_cursor"],
            "properties": {
                "items": { "type": "array", "items": reference(schema) },
                "next_cursor": { "type": ["string", "null"] },
            },
        } } }),
        Content::Problem => json!({
            "application/problem+json": { "schema": reference("Problem") },
        }),
        Content::Gif => json!({ "image/gif": { "schema": {
            "type": "string", "contentMediaType": "image/gif",
        } } }),
        Content::Text(media_type) => json!({ media_type: text() }),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every `$ref` in a value.
    fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match (name.as_str(), value) {
                        ("$ref", Value::String(target)) => drop(found.insert(target)),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for target in &found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in schemas.keys() {
            let target = format!("#/components/schemas/{name}");
            assert!(found.contains(&*target), "{target} is used nowhere");
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let document = document();
        let mut ids = BTreeSet::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                if let Some(id) = operation.get("operationId") {
                    assert!(ids.insert(id.as_str().unwrap()), "{id}");
                }
            }
        }
        assert_eq!(ids.len(), OPERATIONS.len());
    }

    #[test]
    fn paths_and_methods_are_those_of_the_table() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let documented: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods
                    .filter(|method| *method != "parameters")
                    .map(move |method| (path.clone(), method.to_ascii_uppercase()))
            })
            .collect();
        let routed: BTreeSet<(String, String)> = OPERATIONS
            .iter()
            .map(|operation| (operation.path.to_owned(), operation.verb.name().to_owned()))
            .collect();
        assert_eq!(documented, routed);
    }
}
