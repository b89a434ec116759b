//! Embeddings in both shapes.

use super::client::{Server, base64};
use crate::search::Bench;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clipwright::models::blip::Parts;
use serde_json::{Value, json};
use std::fs;
use std::thread;

/// Returns the embeddings that `clipwright embed` writes, as JSON has them.
fn embed(bench: &Bench, args: &[&str]) -> Vec<Value> {
    let outcome = bench.run(&[&["embed", "--model", "model"], args].concat());
    assert_eq!(outcome.code, 0, "{}", outcome.error);
    outcome.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["embedding"].take()).collect()
}

fn embed_texts(bench: &Bench, texts: &[String]) -> Vec<Value> {
    fs::write(bench.path("texts.txt"), texts.join("\n")).unwrap();
    embed(bench, &["--texts", "texts.txt"])
}

fn rows(reply: &Value) -> Vec<Value> {
    reply["data"].as_array().unwrap().iter().map(|datum| datum["embedding"].clone()).collect()
}

fn texts(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{}picture number {i}", "a very fine ".repeat(i % 5))).collect()
}

#[test]
fn embeddings_are_those_of_embed() {
    let bench = Bench::new(3);
    let server = Server::start(&bench, &["--model", "model"]);
    let all = texts(140);
    for n in [1, 2, 17, 140] {
        let reply = server.good("/v1/embeddings", Some(&json!({"input": all[..n], "model": "model"})));
        assert_eq!(rows(&reply), embed_texts(&bench, &all[..n]), "{n}");
        assert_eq!((&reply["object"], &reply["model"]), (&json!("list"), &json!("model")));
        assert!(reply["usage"]["total_tokens"].as_u64().unwrap() >= 5 * n as u64, "{}", reply["usage"]);
        assert!(reply["data"].as_array().unwrap().iter().enumerate().all(|(i, datum)| datum["index"] == i));
    }
    let files: Vec<String> = (0..3).map(Bench::name).collect();
    let pictures: Vec<String> = (0..3).map(|i| base64(&bench.picture(i))).collect();
    let expected = embed(&bench, &files.iter().map(String::as_str).collect::<Vec<_>>());
    let vectors = server.good("/vectorize", Some(&json!({"texts": all[..2], "images": pictures})));
    assert_eq!(vectors["imageVectors"], json!(expected));
    assert_eq!(vectors["textVectors"], json!(embed_texts(&bench, &all[..2])));
    // Texts and pictures in one list keep their places, and a picture may be a data URI.
    let uri = format!("data:image/png;base64,{}", pictures[1]);
    let input = json!([{"image": pictures[0]}, all[0], {"image": uri}, {"text": all[1]}, {"image": pictures[2]}]);
    let mixed = rows(&server.good("/v1/embeddings", Some(&json!({"input": input}))));
    let texts = embed_texts(&bench, &all[..2]);
    assert_eq!(mixed, [&expected[0], &texts[0], &expected[1], &texts[1], &expected[2]].map(Value::clone));
    // One text need not be in a list.
    assert_eq!(rows(&server.good("/v1/embeddings", Some(&json!({"input": all[3]})))), embed_texts(&bench, &all[3..4]));
}

#[test]
fn base64_has_the_same_bits() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model"]);
    let ask = |format: &str| server.good("/v1/embeddings", Some(&json!({"input": "a dog", "encoding_format": format})));
    let bytes = STANDARD.decode(rows(&ask("base64"))[0].as_str().unwrap()).unwrap();
    let decoded = bytes.as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four));
    let floats = ask("float");
    let floats = rows(&floats)[0].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect::<Vec<_>>();
    assert_eq!(decoded.collect::<Vec<_>>(), floats);
    assert_eq!(server.started["dimensions"], floats.len());
}

/// Each answer is that of the request alone, whatever else is asked at the same time.
#[test]
fn company_changes_no_bit() {
    let bench = Bench::new(4);
    let server = Server::start(&bench, &["--model", "model"]);
    let all = texts(24);
    let sets: Vec<&[String]> = vec![&all[..1], &all[1..2], &all[2..7], &all[4..5], &all[7..24], &all[3..4]];
    let expected: Vec<Value> = sets.iter().map(|set| json!(embed_texts(&bench, set))).collect();
    let pictures: Vec<String> = (0..4).map(|i| base64(&bench.picture(i))).collect();
    let images: Vec<Value> = (0..4).map(|i| json!(embed(&bench, &[&Bench::name(i)]))).collect();
    thread::scope(|scope| {
        for client in 0..6 {
            let (server, sets, expected, pictures, images) = (&server, &sets, &expected, &pictures, &images);
            scope.spawn(move || {
                for i in 0..20 {
                    let (set, picture) = ((client + i) % sets.len(), (client + i) % 4);
                    let body = json!({"texts": sets[set], "images": [pictures[picture]]});
                    let vectors = server.good("/vectorize", Some(&body));
                    assert_eq!(vectors["textVectors"], expected[set], "texts {set}");
                    assert_eq!(vectors["imageVectors"], images[picture], "picture {picture}");
                }
            });
        }
    });
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let count = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{metrics}"));
        line.trim().parse::<f64>().unwrap()
    };
    let (passes, sum) =
        (count("clipwright_batch_size_count{kind=\"text\"}"), count("clipwright_batch_size_sum{kind=\"text\"}"));
    assert!(sum == 520.0 && passes < 120.0, "{passes} passes of {sum} texts");
    assert_eq!(count("clipwright_requests_total{route=\"/vectorize\",status=\"200\"}"), 120.0);
}

#[test]
fn a_blip_embeds_cleaned_texts() {
    let bench = crate::blip::bench(Parts::Matcher);
    let server = Server::start_in(&bench.path("."), &["--model", "model"]);
    let embedded =
        |args: &[&str]| -> Vec<Value> { bench.json(args).iter_mut().map(|line| line["embedding"].take()).collect() };
    let images = (0..10).map(|i| base64(&bench.path(&format!("photos/p{i}.png")))).collect::<Vec<_>>();
    bench.write("texts.txt", "A red CAR!\ntwo dogs");
    let vectors = server.good("/vectorize", Some(&json!({"texts": ["A red CAR!", "two dogs"], "images": images})));
    assert_eq!(vectors["textVectors"], json!(embedded(&["embed", "--texts", "texts.txt"])));
    assert_eq!(vectors["imageVectors"], json!(embedded(&["embed", "photos"])));
    let said = server.post("/vectorize", &json!({"texts": ["a", "..."]})).fault(400);
    assert!(said.starts_with("texts[1]: ") && said.contains("cleaning"), "{said}");
}

#[test]
fn what_cannot_be_done_is_said_in_openais_shape() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model"]);
    let fault = |body: Value, status: u16| -> Value {
        let answer = server.post("/v1/embeddings", &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.json());
        answer.json()["error"].take()
    };
    let error = fault(json!({"input": "a", "model": "text-embedding-3-small"}), 404);
    assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
    assert_eq!(error["message"], "the model text-embedding-3-small is not here, but model");
    assert_eq!(fault(json!({"input": "a", "dimensions": 32}), 400)["param"], "dimensions");
    assert_eq!(server.post("/v1/embeddings", &json!({"input": "a", "dimensions": 64, "user": "me"})).status, 200);
    for (body, said) in [
        (json!({}), "input: missing"),
        (json!({"input": []}), "input: nothing in it"),
        (json!({"input": ""}), "input[0]: an empty text"),
        (json!({"input": ["a", " "]}), "input[1]: an empty text"),
        (json!({"input": [1, 2]}), "input[0]: lists of tokens are not taken"),
        (json!({"input": [[1, 2]]}), "input[0]: lists of tokens are not taken"),
        (json!({"input": vec!["a"; 2049]}), "input: 2049 of them"),
        (json!({"input": "a", "encoding_format": "hex"}), "the body: unknown variant `hex`"),
        (json!({"input": "a", "prompt": "b"}), "the body: unknown field `prompt`"),
        (json!({"input": {"image": "http://example.com/a.png"}}), "input.image: an address"),
        (json!({"input": {"image": "AAAA"}}), "input[0]: not a picture"),
    ] {
        let error = fault(body, 400);
        assert!(error["message"].as_str().unwrap().starts_with(said), "{error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    assert_eq!(server.good("/v1/models", None)["data"][0]["id"], "model");
}

#[test]
fn ranks_are_those_of_classify() {
    let bench = Bench::new(2);
    let server = Server::start(&bench, &["--model", "model"]);
    let picture = base64(&bench.picture(0));
    let expected = bench.run(&["classify", &Bench::name(0), "--model", "model", "--labels", "cat,dog,house", "--json"]);
    let expected: Value = serde_json::from_str(&expected.out).unwrap();
    let near = |a: &Value, b: &Value| {
        let numbers = |value: &Value| ["cosine", "probability"].map(|name| value[name].as_f64().unwrap());
        a["index"] == b["index"] && numbers(a).iter().zip(numbers(b)).all(|(a, b)| (a - b).abs() < 1e-5)
    };
    let request = json!({"images": [picture], "labels": ["cat", "dog", "house"]});
    let reply = server.good("/classify", Some(&request));
    let best = reply["images"][0]["best"].as_array().unwrap();
    assert!(best.iter().zip(expected["best"].as_array().unwrap()).all(|(a, b)| near(a, b)), "{best:?} {expected}");
    let one = server.good("/classify", Some(&json!({"image": picture, "labels": ["cat", "dog"], "k": 1})));
    assert_eq!(one["images"][0]["best"].as_array().unwrap().len(), 1);
    // The same sentences, ranked as texts.
    let texts = ["a photo of a cat.", "a photo of a dog.", "a photo of a house."];
    let ranked = server.good("/rank", Some(&json!({"image": picture, "texts": texts})));
    assert!(ranked["best"].as_array().unwrap().iter().zip(best).all(|(a, b)| near(a, b)), "{ranked} {best:?}");
    let second = base64(&bench.picture(1));
    let ranked = server.good("/rank", Some(&json!({"text": "a cat", "images": [picture, second, picture]})));
    let best = ranked["best"].as_array().unwrap();
    let sum: f64 = best.iter().map(|image| image["probability"].as_f64().unwrap()).sum();
    assert!(best.len() == 3 && (sum - 1.0).abs() < 1e-9, "{ranked}");
    for (path, body, said) in [
        ("/rank", json!({"text": "a", "image": "b"}), "either image and texts, or text and images"),
        ("/classify", json!({"image": picture, "labels": ["a"], "templates": ["no place"]}), "templates: neither"),
        ("/classify", json!({"labels": ["a"]}), "either image or images"),
    ] {
        assert!(server.post(path, &body).fault(400).starts_with(said), "{path} {body}");
    }
}
