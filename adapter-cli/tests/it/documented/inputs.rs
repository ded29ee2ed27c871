//! Requests that are made of the document, and against it.

use std::{collections::BTreeMap, fmt};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Map, Value, json};

/// An operation of the document.
pub(super) struct Operation {
    /// Its method and path.
    pub(super) name: String,
    method: String,
    path: String,
    pub(super) is_public: bool,
    /// The names of filters, and whether parameters of any name may stand in the query.
    filters: Vec<String>,
    free: Option<Value>,
    /// The schemas of its body by media type.
    bodies: BTreeMap<String, Value>,
    /// Pointers to the schemas of its answers, by status and media type.
    pub(super) answers: BTreeMap<u16, BTreeMap<String, String>>,
}

/// What stands in the database and the rules.
pub(super) struct Known {
    /// Ids of rows, by the list that they stand in.
    pub(super) ids: BTreeMap<&'static str, Vec<String>>,
    pub(super) rules: String,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Right,
    Wrong,
    None,
}

/// A request.
#[derive(Clone)]
pub(super) struct Input {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) token: Token,
    pub(super) media_type: Option<String>,
    pub(super) body: Vec<u8>,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, token, media_type, body } = self;
        let body = body.escape_ascii();
        write!(f, "{method} {target} with {token:?} token, {media_type:?}: {body}")
    }
}

impl Operation {
    pub(super) fn all(document: &Value) -> Vec<Self> {
        let paths = document["paths"].as_object().expect("paths");
        let of_path = |(path, item): (&String, &Value)| -> Vec<Self> {
            let methods = item.as_object().expect("a path").iter();
            let methods = methods.filter(|(method, _)| *method != "parameters");
            methods.map(|(method, described)| Self::of(document, path, method, described)).collect()
        };
        paths.iter().flat_map(of_path).collect()
    }

    fn of(document: &Value, path: &str, method: &str, described: &Value) -> Self {
        let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
        let (free, filters): (Vec<_>, Vec<_>) =
            parameters.into_iter().partition(|parameter| parameter["explode"] == true);
        let place = format!("/paths/{}/{method}/responses", path.replace('/', "~1"));
        let responses = described["responses"].as_object().expect("responses");
        let answers = responses.iter().map(|(status, response)| {
            let (response, place) = match response["$ref"].as_str() {
                Some(target) => {
                    let pointer = target.trim_start_matches('#');
                    (document.pointer(pointer).expect("a response"), pointer.to_owned())
                }
                None => (response, format!("{place}/{status}")),
            };
            let contents = response["content"].as_object().into_iter().flatten();
            let pointers = contents.map(|(media_type, _)| {
                let escaped = media_type.replace('/', "~1");
                (media_type.clone(), format!("{place}/content/{escaped}/schema"))
            });
            (status.parse().expect("a status"), pointers.collect())
        });
        let bodies = described["requestBody"]["content"].as_object().into_iter().flatten();
        Self {
            name: format!("{} {path}", method.to_ascii_uppercase()),
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            is_public: described["tags"][0] == "public",
            filters: filters.iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect(),
            free: free.first().map(|parameter| parameter["schema"].clone()),
            bodies: bodies.map(|(name, body)| (name.clone(), body["schema"].clone())).collect(),
            answers: answers.collect(),
        }
    }

    /// Whether it can be asked wrongly otherwise than by its method.
    pub(super) fn takes_anything(&self) -> bool {
        !self.filters.is_empty() || !self.bodies.is_empty()
    }

    /// Whether it is this operation that an input asks for, which was made for another one.
    pub(super) fn is_asked(&self, made_for: &Self, input: &Input) -> bool {
        self.path == made_for.path && self.method == input.method
    }

    /// The pointer to the schema of a body that is JSON and nothing else.
    pub(super) fn closed_body(&self) -> Option<&str> {
        let schema = self.bodies.get("application/json").filter(|_| self.bodies.len() == 1)?;
        schema["$ref"].as_str().map(|target| target.trim_start_matches('#'))
    }
}

/// Requests to an operation: most of them as they should be.
pub(super) fn of(
    operation: &Operation,
    document: &Value,
    known: &Known,
) -> impl Strategy<Value = Input> + use<> {
    let words = words(known);
    let own = operation.method.clone();
    let method = prop_oneof![
        30 => Just(own),
        1 => select(vec!["HEAD", "DELETE", "PATCH", "POST", "GET"]).prop_map(str::to_owned),
    ];
    // Few are wrong: after twenty in a second nobody is let in.
    let token =
        prop_oneof![98 => Just(Token::Right), 1 => Just(Token::Wrong), 1 => Just(Token::None)];
    let path = path(&operation.path, known);
    let query = query(operation, document, &words);
    let body = body(operation, document, known, &words);
    (method, path, query, token, body).prop_map(|(method, path, query, token, body)| {
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let (media_type, body) = body;
        Input { method, target, token, media_type, body }
    })
}

/// Texts that mean something somewhere, and some that mean nothing.
fn words(known: &Known) -> BoxedStrategy<String> {
    const WORDS: [&str; 44] = [
        "click",
        "lead",
        "view",
        "send",
        "sale",
        "prospect",
        "api",
        "iframe",
        "shoply-cz",
        "bo",
        "shoply",
        "tenth",
        "approved",
        "pending",
        "rejected",
        "created",
        "duplicate",
        "refused",
        "malformed",
        "create",
        "update",
        "EUR",
        "USD",
        "A-0",
        "A-1",
        "100",
        "0.01",
        "-1",
        "1e400",
        "99999999999999999999",
        "strict",
        "guarded",
        "office",
        TOKEN,
        "s2s",
        "pixel",
        "import",
        "native",
        "keitaro",
        "dead",
        "ask",
        "admin",
        "2026-01-01T00:00:00Z",
        "{pcid}",
    ];
    let known_ids = select(known.ids.values().flatten().cloned().collect::<Vec<_>>());
    let words = select(WORDS.to_vec()).prop_map(str::to_owned);
    let any = any::<String>().prop_map(|text| text.chars().take(80).collect());
    prop_oneof![4 => words, 3 => known_ids, 1 => any, 1 => "[0-9]{1,4}", 1 => Just(String::new())]
        .boxed()
}

const TOKEN: &str = super::TENANT_TOKEN;

fn path(template: &str, known: &Known) -> BoxedStrategy<String> {
    let list = known.ids.iter().find(|(list, _)| template.contains(*list)).map(|(_, ids)| ids);
    let of_list = list.map(|ids| select(ids.clone()));
    let of_any = select(known.ids.values().flatten().cloned().collect::<Vec<_>>());
    let of_names = |names: &'static [&'static str]| select(names).prop_map(str::to_owned).boxed();
    let segments = template.split('/').skip(1).map(|segment| {
        let likely = match (segment, &of_list) {
            ("{tenant}", _) => of_names(&["acme"]),
            ("{offer}", _) => of_names(&["shoply-cz"]),
            ("{affiliate}", _) => of_names(&["bo"]),
            ("{dialect}", _) => of_names(&["native", "keitaro", "pushground"]),
            ("{id}", Some(of_list)) => {
                prop_oneof![3 => of_list.clone(), 1 => of_any.clone()].boxed()
            }
            _ => return Just(segment.to_owned()).boxed(),
        };
        let junk = "[a-zA-Z0-9._~ é%{}-]{1,12}".prop_map(|text: String| escaped(&text));
        prop_oneof![15 => likely, 1 => junk].boxed()
    });
    let segments: Vec<_> = segments.collect();
    segments.prop_map(|segments| format!("/{}", segments.join("/"))).boxed()
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Texts for what is called so: mostly such as it may have.
fn text_of(name: &str, words: &BoxedStrategy<String>) -> BoxedStrategy<String> {
    let likely = |texts: &'static [&'static str]| {
        prop_oneof![4 => select(texts).prop_map(str::to_owned), 1 => words.clone()].boxed()
    };
    match name {
        "limit" => likely(&["1", "2", "5", "1000", "0", "1001"]),
        "since" | "until" | "at" => likely(&["2026-01-01T00:00:00Z", "1970-01-01T00:00:00.001Z"]),
        "all" => likely(&["true"]),
        "offer" | "offer_id" => likely(&["shoply-cz"]),
        "affiliate" | "affiliate_id" => likely(&["bo"]),
        "type" => likely(&["sale", "lead", "click"]),
        "source" => likely(&["api", "iframe"]),
        "state" => likely(&["dead", "due", "delivered"]),
        "value" | "price" | "commission" | "revenue" | "payout" => likely(&["100", "0.01", "7.5"]),
        _ => words.clone(),
    }
}

fn query(
    operation: &Operation,
    document: &Value,
    words: &BoxedStrategy<String>,
) -> BoxedStrategy<String> {
    let joined = |pairs: Vec<(String, String)>| {
        let pairs =
            pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
        pairs.collect::<Vec<_>>().join("&")
    };
    let mut names = operation.filters.clone();
    if let Some(schema) = &operation.free {
        let schema = resolved(document, schema);
        names.extend(
            schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()),
        );
    }
    let most = names.len().min(4);
    let words_of_pairs = words.clone();
    let of_names = subsequence(names, 0..=most).prop_flat_map(move |names| {
        let pairs =
            names.into_iter().map(|name| (Just(name.clone()), text_of(&name, &words_of_pairs)));
        pairs.collect::<Vec<_>>()
    });
    let others = vec(("[a-z_]{1,8}", words.clone()), 0..2);
    let sale = (words.clone(), words.clone()).prop_map(|(id, value)| {
        vec![
            ("pcid".to_owned(), id),
            ("type".to_owned(), "sale".to_owned()),
            ("value".to_owned(), value),
        ]
    });
    let odd = "[ -~]{0,30}".prop_map(|text: String| text.replace([' ', '"', '<', '>', '#'], "+"));
    let named = (of_names.clone(), others.clone())
        .prop_map(move |(pairs, others)| joined([pairs, others].concat()));
    match operation.free {
        Some(_) => prop_oneof![
            4 => named,
            3 => sale.prop_map(joined),
            1 => odd,
        ]
        .boxed(),
        None => prop_oneof![
            3 => Just(String::new()),
            9 => of_names.prop_map(joined),
            1 => others.prop_map(joined),
            1 => odd,
        ]
        .boxed(),
    }
}

type Body = (Option<String>, Vec<u8>);

/// A body of one of the documented media types, as its schema says; sometimes broken, of another
/// type, or not there.
fn body(
    operation: &Operation,
    document: &Value,
    known: &Known,
    words: &BoxedStrategy<String>,
) -> BoxedStrategy<Body> {
    let none = Just((None, Vec::new()));
    let mut right: Vec<(u32, BoxedStrategy<Body>)> = Vec::new();
    for (media_type, schema) in &operation.bodies {
        let name = Some(media_type.clone());
        let bytes: BoxedStrategy<Vec<u8>> = match media_type.as_str() {
            "application/json" => prop_oneof![
                6 => value_of(document, schema, words, 4).prop_map(|v| v.to_string().into_bytes()),
                2 => broken(document, schema, words).prop_map(|v| v.to_string().into_bytes()),
                1 => vec(any::<u8>(), 0..20),
            ]
            .boxed(),
            "application/toml" => {
                let rules = known.rules.clone();
                let cut = (0..rules.len()).prop_map({
                    let rules = rules.clone();
                    move |len| rules.as_bytes()[..len].to_vec()
                });
                prop_oneof![Just(rules.into_bytes()), cut, vec(any::<u8>(), 0..20)].boxed()
            }
            _ => query(operation, document, words).prop_map(String::into_bytes).boxed(),
        };
        right.push((8, bytes.prop_map(move |bytes| (name.clone(), bytes)).boxed()));
    }
    if right.is_empty() {
        return none.boxed();
    }
    let other = ("(text/plain|application/xml|multipart/form-data|[a-z/;=]{1,12})", "[ -~]{0,9}");
    right.push((1, other.prop_map(|(name, text)| (Some(name), text.into_bytes())).boxed()));
    right.push((1, none.boxed()));
    proptest::strategy::Union::new_weighted(right).boxed()
}

fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(target) => document.pointer(target.trim_start_matches('#')).expect("a schema"),
        None => schema,
    }
}

/// Values as a schema says.
fn value_of(
    document: &Value,
    schema: &Value,
    words: &BoxedStrategy<String>,
    depth: u32,
) -> BoxedStrategy<Value> {
    let schema = resolved(document, schema);
    let of = |schema: &Value| value_of(document, schema, words, depth.saturating_sub(1));
    if let Some(values) = schema["enum"].as_array() {
        return select(values.clone()).boxed();
    }
    if let Some(choices) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        return proptest::strategy::Union::new(choices.iter().map(of)).boxed();
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => vec!["string"],
    };
    let of_kind = |kind: &&str| -> BoxedStrategy<Value> {
        match *kind {
            "null" => Just(Value::Null).boxed(),
            "boolean" => any::<bool>().prop_map(Value::from).boxed(),
            "integer" | "number" => (-10_i64..100_000).prop_map(Value::from).boxed(),
            "array" => vec(of(&schema["items"]), 0..3).prop_map(Value::from).boxed(),
            "object" => object_of(document, schema, words, depth),
            _ if schema["format"] == "date-time" => Just(json!("2026-02-01T00:00:00Z")).boxed(),
            _ => words.clone().prop_map(Value::from).boxed(),
        }
    };
    proptest::strategy::Union::new(kinds.iter().map(of_kind)).boxed()
}

fn object_of(
    document: &Value,
    schema: &Value,
    words: &BoxedStrategy<String>,
    depth: u32,
) -> BoxedStrategy<Value> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let members: Vec<_> = properties
        .map(|(name, schema)| {
            let words = text_of(name, words);
            let value = value_of(document, schema, &words, depth.saturating_sub(1));
            let value = match required.contains(&name.as_str()) {
                true => value.prop_map(Some).boxed(),
                false => option::weighted(0.4, value).boxed(),
            };
            (Just(name.clone()), value)
        })
        .collect();
    let more = match &schema["additionalProperties"] {
        Value::Object(_) if depth > 0 => {
            let value = value_of(document, &schema["additionalProperties"], words, depth - 1);
            vec(("[a-z]{1,6}", value), 0..2).boxed()
        }
        _ => Just(Vec::new()).boxed(),
    };
    (members, more)
        .prop_map(|(members, more)| {
            let named = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
            Value::Object(more.into_iter().chain(named).collect::<Map<_, _>>())
        })
        .boxed()
}

/// Values that a schema very likely forbids: a member is gone, is one too many, or of another kind.
fn broken(document: &Value, schema: &Value, words: &BoxedStrategy<String>) -> BoxedStrategy<Value> {
    let right = value_of(document, schema, words, 4);
    let odd = prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!([])),
        Just(json!({"a": {}})),
        Just(json!("")),
        Just(json!(1e300)),
    ];
    (right, any::<prop::sample::Index>(), odd, 0..4_u8)
        .prop_map(|(mut value, which, odd, how)| {
            let Some(members) = value.as_object_mut().filter(|members| !members.is_empty()) else {
                return odd;
            };
            let name = members.keys().nth(which.index(members.len())).cloned().unwrap_or_default();
            match how {
                0 => drop(members.remove(&name)),
                1 => drop(members.insert(name, odd)),
                2 => drop(members.insert("undocumented".to_owned(), odd)),
                _ => return odd,
            }
            value
        })
        .boxed()
}
