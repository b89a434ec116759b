//! `openapi.json` against the routes and their answers.

use super::client::{Answer, Server, base64};
use crate::search::Bench;
use serde_json::{Value, json};

/// Returns what is wrong with a value by a schema, of the words that the description uses.
fn faults(doc: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return faults(doc, doc.pointer(&name[1..]).unwrap_or_else(|| panic!("{name}")), value, at);
    }
    if let Some(any) = schema["oneOf"].as_array() {
        let fitting = any.iter().filter(|schema| faults(doc, schema, value, at).is_empty()).count();
        return if fitting == 1 { vec![] } else { vec![format!("{at}: {fitting} of {} fit {value}", any.len())] };
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        kind => panic!("{at}: {kind}"),
    };
    let fits = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap())),
        _ => true,
    };
    let is_named = schema["enum"].as_array().is_none_or(|names| names.contains(value));
    let mut all = if fits && is_named { vec![] } else { vec![format!("{at}: {value} is not {schema}")] };
    if let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) {
        for name in schema["required"].as_array().unwrap() {
            if !fields.contains_key(name.as_str().unwrap()) {
                all.push(format!("{at}: no {name}"));
            }
        }
        for (name, field) in fields {
            match known.get(name) {
                Some(schema) => all.extend(faults(doc, schema, field, &format!("{at}.{name}"))),
                None => all.push(format!("{at}: {name} is not described")),
            }
        }
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        all.extend(faults(doc, &schema["items"], item, &format!("{at}[{i}]")));
    }
    all
}

/// Checks an answer, and the request for it, against the description of the route.
fn check(doc: &Value, (method, pattern): (&str, &str), body: Option<&Value>, answer: &Answer) {
    let (at, status) = (format!("{method} {pattern}"), answer.status.to_string());
    let described = &doc["paths"][pattern][method.to_lowercase()];
    let mut response = described["responses"].get(&status).unwrap_or(&described["responses"]["default"]);
    if let Some(name) = response["$ref"].as_str() {
        response = doc.pointer(&name[1..]).unwrap();
    }
    match response["content"]["application/json"].get("schema") {
        Some(schema) => assert_eq!(faults(doc, schema, &answer.json(), &at), [""; 0], "{status}"),
        None => {
            let kinds = response["content"].as_object().map(|kinds| kinds.keys().next().unwrap().replace("/*", "/"));
            let kind = answer.header("content-type");
            assert!(kinds.is_none_or(|start| kind.unwrap().starts_with(&start)), "{at}: {kind:?}");
        }
    }
    if let (Some(body), 200 | 202) = (body, answer.status) {
        let schema = &described["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(faults(doc, schema, body, &at), [""; 0], "the request");
    }
}

#[test]
fn answers_are_as_they_are_described() {
    let bench = Bench::new(5);
    bench.index();
    let server = Server::start(&bench, &["pictures"]);
    let doc = server.good("/openapi.json", None);
    let image = base64(&bench.picture(1));
    let id = server.good("/search?q=a", None)["hits"][0]["id"].as_str().unwrap().to_owned();
    let path = |route: &str| route.replace("/page/{id}", "/page/main.js").replace("{id}", &id);
    let asked = [
        ("GET", "/", None),
        ("GET", "/page/{id}", None),
        ("GET", "/health", None),
        ("GET", "/.well-known/live", None),
        ("GET", "/.well-known/ready", None),
        ("GET", "/metrics", None),
        ("GET", "/meta", None),
        ("GET", "/openapi.json", None),
        ("GET", "/v1/models", None),
        ("POST", "/v1/embeddings", Some(json!({"input": ["a", {"image": image}, {"text": "b"}], "model": "model"}))),
        ("POST", "/v1/embeddings", Some(json!({"input": "a", "encoding_format": "base64"}))),
        ("POST", "/v1/embeddings", Some(json!({"input": 7}))),
        ("POST", "/vectorize", Some(json!({"texts": ["a"], "images": [image]}))),
        ("POST", "/rank", Some(json!({"image": image, "texts": ["a", "b"]}))),
        ("POST", "/rank", Some(json!({"text": "a", "images": [image]}))),
        ("POST", "/classify", Some(json!({"image": image, "labels": ["a", "b"], "templates": ["a {}"], "k": 1}))),
        ("GET", "/search", None),
        ("POST", "/search", Some(json!({"parts": [{"like": id}, {"text": "a", "weight": -0.5}], "k": 2}))),
        ("GET", "/map", None),
        ("GET", "/duplicates", None),
        ("GET", "/item/{id}", None),
        ("GET", "/thumb/{id}", None),
        ("GET", "/picture/{id}", None),
        ("POST", "/reindex", Some(json!({}))),
        ("GET", "/reindex", None),
    ];
    for (method, route, body) in &asked {
        let bytes = body.as_ref().map_or(vec![], |body| body.to_string().into_bytes());
        let address = if *route == "/search" && *method == "GET" { "/search?q=a".into() } else { path(route) };
        let answer = server.ask(method, &address, &[], &bytes);
        assert!(answer.status < 300 || body.as_ref().is_some_and(|body| body["input"] == 7), "{method} {route}");
        check(&doc, (method, route), body.as_ref().filter(|_| *route != "/reindex"), &answer);
    }
    // What is described was asked, and nothing else is there.
    for (route, methods) in doc["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            assert!(asked.iter().any(|(m, r, _)| m.to_lowercase() == *method && r == route), "{method} {route}");
        }
        let allowed = server.ask("OPTIONS", &path(route), &[], b"");
        let allowed = allowed.header("allow").unwrap_or_else(|| panic!("{route} is described and not there"));
        let described: Vec<String> = methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        assert_eq!(allowed.split(", ").collect::<Vec<_>>(), described, "{route}");
    }
}
