//! BLIP against the reference implementations: outputs, losses and all gradients, as Hugging Face's classes and the
//! original code compute them. Runs on every folder of a kind in `tests/golden` and, when `CLIP_GOLDEN_DIR` is set, in
//! there.

use super::golden::{GRADIENT, Io, OUTPUT, close, folders_with, row};
use crate::support::blip_passes::{
    Seen, Texts, contrast, gradients, language_model, matching, pass_texts, plain_logits,
};
use crate::support::compare::to_f64;
use crate::support::oracle;
use clipwright::checkpoint::blip::{Overrides, load};
use clipwright::checkpoint::safetensors::Reader;
use clipwright::embed::write;
use clipwright::eval::rerank::{OUTSIDE, rerank};
use clipwright::generate::{BeamStyle, Options, Request, Search};
use clipwright::layers::cross_attention::Shape;
use clipwright::layers::linear::Linear;
use clipwright::layers::sequences::Pool;
use clipwright::loss::cross_entropy::Labels;
use clipwright::models::blip::model::{Inference, Source};
use clipwright::models::blip::{Model, TokenIds};
use clipwright::optim::adamw::Hyper;
use clipwright::params::{Params, for_each, view};
use clipwright::train::blip::{self as training, AnswerBatch, AnswerObjective, CaptionBatch, CaptionObjective, Rates};
use clipwright::train::objective::Objective;
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::tree::Path as TreePath;
use ndarray::{Array2, ArrayView2, Axis, s};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::Value;
use std::convert::Infallible;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Returns the folders of Hugging Face models of this class.
fn hugging_face(class: &str) -> Vec<PathBuf> {
    let of_class = |folder: &PathBuf| json(&folder.join("config.json"))["architectures"][0] == class;
    let folders: Vec<_> =
        folders_with("io.safetensors").into_iter().filter(|f| f.join("config.json").is_file()).collect();
    let folders: Vec<_> = folders.into_iter().filter(of_class).collect();
    assert!(!folders.is_empty(), "no golden folder of a {class}");
    folders
}

/// Returns the folders of the original code whose description has this key and whose model has this tensor.
pub(super) fn original(key: &str, tensor: &str) -> Vec<PathBuf> {
    let folders: Vec<_> = folders_with("meta.json")
        .into_iter()
        .filter(|folder| json(&folder.join("meta.json")).get(key).is_some())
        .filter(|folder| {
            Reader::open(&folder.join("model.safetensors")).unwrap().names().iter().any(|name| name == tensor)
        })
        .collect();
    assert!(!folders.is_empty(), "no golden folder of the original code with {key} and {tensor}");
    folders
}

pub(super) fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Reads a model whose description is in `folder` from a file of weights.
pub(super) fn model(folder: &Path, weights: &Path) -> Model {
    let meta = folder.join("meta.json");
    let mut overrides = Overrides::default();
    if !meta.is_file() {
        let loaded = load(weights.parent().unwrap(), &overrides).unwrap();
        return Model { config: loaded.config, params: loaded.params };
    }
    let meta = json(&meta);
    let number = |key: &str| meta[key].as_u64().unwrap();
    overrides.vision_heads = Some(number("vision_heads") as usize);
    overrides.text_heads = Some(number("text_heads") as usize);
    let [pad, cls, end, decode, encode] = ["pad", "cls", "sep", "dec", "enc"].map(|key| number(key) as u32);
    overrides.ids = Some(TokenIds { pad, cls, end, decode, encode });
    let loaded = load(weights, &overrides).unwrap();
    let config = loaded.config;
    assert_eq!((f64::from(config.vision.eps) * 1e9).round(), 1e3);
    Model { config, params: loaded.params }
}

/// Reads gradients as if they were a model's parameters. Parameters without a gradient get zeros.
fn reference_gradients(folder: &Path, file: &str) -> Params<clipwright::models::blip::Blip<clipwright::params::Spec>> {
    let temporary = tempfile::tempdir().unwrap();
    let [grads, weights] = [file, "model.safetensors"].map(|file| fs::read(folder.join(file)).unwrap());
    let [grads, weights] = [&grads, &weights].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let zeros = vec![0; weights.tensors().iter().map(|(_, tensor)| tensor.data().len()).max().unwrap()];
    let mut tensors = vec![];
    for (name, tensor) in weights.tensors() {
        let shape = tensor.shape().to_vec();
        match grads.tensor(&name) {
            Ok(grad) => tensors.push((name, TensorView::new(Dtype::F32, shape, grad.data()).unwrap())),
            // A second name of a tensor has no gradient of its own.
            Err(_) if name.contains("cls.predictions.decoder") || tensor.dtype() != Dtype::F32 => {}
            Err(_) => {
                let view = TensorView::new(Dtype::F32, shape, &zeros[..tensor.data().len()]).unwrap();
                tensors.push((name, view));
            }
        }
    }
    for (name, _) in grads.tensors() {
        assert!(weights.tensor(&name).is_ok(), "{name} has a gradient but no value");
    }
    let config = folder.join("config.json");
    if config.is_file() {
        fs::copy(config, temporary.path().join("config.json")).unwrap();
    }
    let path = temporary.path().join("model.safetensors");
    serialize_to_file(tensors, None, &path).unwrap();
    model(folder, &path).params
}

/// Compares gradients leaf by leaf. Those of keys' biases are zero but for rounding, and stand within a packed leaf.
fn compare(model: &Model, ours: &[f32], reference: &Params<clipwright::models::blip::Blip<clipwright::params::Spec>>) {
    for_each(&model.params.spec, &TreePath::ROOT, |path, _, range| {
        close(&path.to_string(), &row(&ours[range.clone()]), &row(&reference.flat[range]), GRADIENT);
    });
}

impl Io<'_> {
    /// Returns a matrix of integers.
    pub(super) fn integers(&self, name: &str) -> Vec<Vec<i64>> {
        let tensor = self.0.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::I64);
        let numbers: Vec<i64> =
            tensor.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
        numbers.chunks_exact(*tensor.shape().last().unwrap()).map(<[i64]>::to_vec).collect()
    }

    /// Returns texts without their padding.
    pub(super) fn texts(&self, ids: &str, mask: &str) -> Texts {
        let (ids, mask) = (self.integers(ids), self.integers(mask));
        Texts::new(ids.into_iter().zip(mask).map(|(ids, mask)| {
            let real = mask.iter().filter(|&&real| real == 1).count();
            ids[..real].iter().map(|&id| id as u32).collect()
        }))
    }

    /// Returns texts that fill their rows.
    fn whole_texts(&self, ids: &str) -> Texts {
        Texts::new(self.integers(ids).into_iter().map(|ids| ids.into_iter().map(|id| id as u32).collect()))
    }

    pub(super) fn scalar(&self, name: &str) -> f32 {
        self.matrix(name)[[0, 0]]
    }

    /// Returns pictures as rows of normalised pixels.
    pub(super) fn pictures(&self, name: &str) -> (Array2<f32>, [usize; 2]) {
        let shape = self.0.tensor(name).unwrap().shape().to_vec();
        (self.matrix(name), [shape[2], shape[3]])
    }
}

/// Opens the reference's inputs and outputs.
pub(super) fn with_io<T>(folder: &Path, f: impl FnOnce(&Io) -> T) -> T {
    println!("{}", folder.display());
    let bytes = fs::read(folder.join("io.safetensors")).unwrap();
    f(&Io(SafeTensors::deserialize(&bytes).unwrap()))
}

/// Text i looks at picture i.
fn one_each(n: usize) -> Vec<Range<usize>> {
    (0..n).map(|i| i..i + 1).collect()
}

/// Returns the rows of padded logits (B·T,V) that are no padding.
fn without_padding(padded: &Array2<f32>, vocabulary: usize, texts: &Texts) -> Array2<f32> {
    let length = padded.ncols() / vocabulary;
    let padded = padded.to_shape((padded.nrows() * length, vocabulary)).unwrap();
    let rows: Vec<usize> =
        texts.rows().iter().enumerate().flat_map(|(i, rows)| i * length..i * length + rows.len()).collect();
    padded.select(Axis(0), &rows)
}

/// Returns labels shifted by one: row t predicts token t + 1. −100 is no label.
fn shifted(labels: &[Vec<i64>], texts: &Texts) -> Vec<Option<u32>> {
    let mut shifted = vec![];
    for (labels, rows) in labels.iter().zip(texts.rows()) {
        let next = labels.iter().skip(1).chain([&-100]).take(rows.len());
        shifted.extend(next.map(|&label| u32::try_from(label).ok()));
    }
    shifted
}

#[test]
fn captioners_agree_with_hugging_face() {
    for folder in hugging_face("BlipForConditionalGeneration") {
        with_io(&folder, |io| check_captioner(&folder, io));
    }
}

fn check_captioner(folder: &Path, io: &Io) {
    let model = model(folder, &folder.join("model.safetensors"));
    let (images, _) = io.pictures("pixel_values");
    let source = Inference::default().look(&model.params.view(), &model.config, images.view());
    let width = model.config.vision.width;
    let embeds = io.matrix("image_embeds").into_shape_with_order((source.tokens.nrows(), width)).unwrap();
    close("image_embeds", &source.tokens, &embeds, OUTPUT);

    let texts = io.texts("input_ids", "attention_mask");
    let texts_of = one_each(images.nrows());
    let vocabulary = model.config.text.vocab_size;
    let logits = plain_logits(&model.params.view(), &model.config, &source, texts.captions(), &texts_of);
    close("logits", &logits, &without_padding(&io.matrix("logits"), vocabulary, &texts), OUTPUT);

    let smoothing = json(&folder.join("config.json"))["text_config"]["label_smoothing"].as_f64().unwrap_or(0.0) as f32;
    let mut labels = Labels::default();
    labels.fill_mean(shifted(&io.integers("labels"), &texts));
    let (loss, grads) = gradients(&model, images.view(), |p, tokens, dtokens, g| {
        let seen = Seen { tokens, dtokens, rows: &source.rows, texts: &texts_of };
        language_model(&model, p, texts.captions(), seen, (&labels, smoothing), g)
    });
    let expected = io.scalar("loss");
    assert!((loss - expected).abs() <= OUTPUT * expected.max(1.0), "loss: {loss} and {expected}");
    compare(&model, &grads, &reference_gradients(folder, "grads.safetensors"));
    if smoothing == training::Options::SMOOTHING {
        let given = |row: &Vec<i64>| row.iter().take_while(|&&id| id == -100).count().max(1);
        let given = io.integers("labels").iter().map(given).collect();
        check_captions(folder, io, &model, images.view(), &texts, given);
    }
    check_interpolated(folder, io, &texts);
}

/// Pictures of another size: the table of positions is resized.
fn check_interpolated(folder: &Path, io: &Io, texts: &Texts) {
    let (images, image_size) = io.pictures("interpolated.pixel_values");
    let loaded = load(folder, &Overrides { image_size: Some(image_size), ..Overrides::default() }).unwrap();
    let model = Model { config: loaded.config, params: loaded.params };
    let source = Inference::default().look(&model.params.view(), &model.config, images.view());
    let n = images.nrows();
    let texts = Texts { ids: texts.ids[..texts.offsets[n]].to_vec(), offsets: texts.offsets[..=n].to_vec() };
    let logits = plain_logits(&model.params.view(), &model.config, &source, texts.captions(), &one_each(n));
    let expected = without_padding(&io.matrix("interpolated.logits"), model.config.text.vocab_size, &texts);
    close("interpolated.logits", &logits, &expected, OUTPUT);
}

#[test]
fn matchers_agree_with_hugging_face() {
    for folder in hugging_face("BlipForImageTextRetrieval") {
        with_io(&folder, |io| check_matcher(&folder, io));
    }
}

fn check_matcher(folder: &Path, io: &Io) {
    let model = model(folder, &folder.join("model.safetensors"));
    let (p, config, mut buffers) = (model.params.view(), &model.config, Inference::default());
    let (images, _) = io.pictures("pixel_values");
    let n = images.nrows();
    let source = buffers.look(&p, config, images.view());
    let embeddings = buffers.embed_images(&p, config, &source);
    for (ids, mask, itm, itc) in [
        ("input_ids_enc", Some("attention_mask"), "itm_score", None),
        ("input_ids", Some("attention_mask"), "", Some("itc_score")),
        ("input_ids", None, "itm_score_cls_unmasked", Some("itc_score_unmasked")),
    ] {
        let texts = mask.map_or_else(|| io.whole_texts(ids), |mask| io.texts(ids, mask));
        if !itm.is_empty() {
            let logits = buffers.match_logits(&p, config, &source, texts.captions(), &one_each(n));
            close(itm, &logits, &io.matrix(itm), OUTPUT);
        }
        if let Some(itc) = itc {
            let words = buffers.embed_texts(&p, config, texts.captions());
            close(itc, &embeddings.dot(&words.t()), &io.matrix(itc), OUTPUT);
        }
    }

    let texts = io.texts("input_ids_enc", "attention_mask");
    let tensor = io.0.tensor("itm_labels").unwrap();
    let labels: Vec<usize> =
        tensor.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as usize).collect();
    let (loss, grads) = gradients(&model, images.view(), |p, tokens, dtokens, g| {
        let seen = Seen { tokens, dtokens, rows: &source.rows, texts: &one_each(n) };
        matching(&model, p, texts.captions(), seen, &labels, g)
    });
    assert!((loss - io.scalar("loss_itm")).abs() <= OUTPUT * loss.max(1.0), "loss_itm {loss}");
    compare(&model, &grads, &reference_gradients(folder, "grads_itm.safetensors"));

    let texts = io.texts("input_ids", "attention_mask");
    let (loss, grads) = gradients(&model, images.view(), |p, tokens, dtokens, g| {
        contrast(&model, p, texts.captions(), tokens, dtokens, 0.07, g)
    });
    assert!((loss - io.scalar("loss_itc")).abs() <= OUTPUT * loss.max(1.0), "loss_itc {loss}");
    compare(&model, &grads, &reference_gradients(folder, "grads_itc.safetensors"));
}

#[test]
fn answerers_agree_with_hugging_face() {
    for folder in hugging_face("BlipForQuestionAnswering") {
        with_io(&folder, |io| {
            let model = model(&folder, &folder.join("model.safetensors"));
            let (images, _) = io.pictures("pixel_values");
            let (questions, n) = (io.whole_texts("input_ids"), images.nrows());
            let answers = io.texts("decoder_input_ids", "decoder_attention_mask");
            let mut labels = Labels::default();
            labels.fill_mean(shifted(&io.integers("labels"), &answers));
            let smoothing =
                json(&folder.join("config.json"))["text_config"]["label_smoothing"].as_f64().unwrap_or(0.0) as f32;
            let (loss, grads) =
                answer_gradients(&model, images.view(), &questions, &answers, &one_each(n), (&labels, smoothing));
            assert!((loss - io.scalar("loss")).abs() <= OUTPUT * loss.max(1.0), "loss {loss}");
            compare(&model, &grads, &reference_gradients(&folder, "grads.safetensors"));
        });
    }
}

/// The loss of answers to questions about pictures, one question each, and its gradients. `answers_of[i]` are the
/// answers to question i.
fn answer_gradients(
    model: &Model,
    images: ArrayView2<f32>,
    questions: &Texts,
    answers: &Texts,
    answers_of: &[Range<usize>],
    labels: (&Labels, f32),
) -> (f32, Vec<f32>) {
    let rows = |tokens: usize| -> Vec<Range<usize>> {
        let each = tokens / images.nrows();
        (0..images.nrows()).map(|i| i * each..(i + 1) * each).collect()
    };
    gradients(model, images, |p, tokens, dtokens, g| {
        let (rows, one_each) = (rows(tokens.nrows()), one_each(images.nrows()));
        let seen = Seen { tokens, dtokens, rows: &rows, texts: &one_each };
        let mut g_encoder = g.text_encoder.take().unwrap();
        let (shape, encoder) = (model.config.encoder(), p.encoder().unwrap());
        let question_rows = questions.rows();
        let loss = pass_texts(
            encoder,
            &shape,
            questions.captions(),
            Some(seen),
            Pool::All,
            g_encoder.as_mut(),
            |states, mut dstates| {
                dstates.fill(0.0);
                let seen = Seen { tokens: states, dtokens: dstates, rows: &question_rows, texts: answers_of };
                language_model(model, p, answers.captions(), seen, labels, g)
            },
        );
        g.text_encoder = Some(g_encoder);
        loss
    })
}

#[test]
fn captioners_agree_with_the_original() {
    for folder in original("prompt_length", "text_decoder.cls.predictions.bias") {
        with_io(&folder, |io| {
            let model = model(&folder, &folder.join("model.safetensors"));
            let meta = json(&folder.join("meta.json"));
            let prompt = meta["prompt_length"].as_u64().unwrap() as usize;
            let (images, _) = io.pictures("image");
            let texts = io.texts("input_ids", "attention_mask");
            let given = vec![prompt; images.nrows()];
            check_captions(&folder, io, &model, images.view(), &texts, given);
        });
    }
}

/// The loss and all gradients of fine-tuning for captions.
fn check_captions(folder: &Path, io: &Io, model: &Model, images: ArrayView2<f32>, texts: &Texts, given: Vec<usize>) {
    let batch = CaptionBatch { images, captions: texts.captions(), given: &given };
    let objective = || CaptionObjective::new(model, Rates::default());
    check_trained(folder, io, model, objective, &batch);
}

/// The loss and all gradients of an objective, in micro-batches of several sizes.
fn check_trained<O: Objective + Send>(
    folder: &Path,
    io: &Io,
    model: &Model,
    objective: impl Fn() -> O,
    batch: &O::Batch<'_>,
) {
    let reference = reference_gradients(folder, "grads.safetensors");
    for micro_batch in [usize::MAX, 2, 1] {
        let mut trainer = Trainer::new(objective(), TrainerOptions::new(Hyper::BLIP));
        let (loss, expected) = (trainer.gradients(batch, micro_batch)[0].value as f32, io.scalar("loss"));
        assert!((loss - expected).abs() <= OUTPUT * expected.max(1.0), "loss: {loss} and {expected}");
        compare(model, trainer.flat_grads(), &reference);
    }
}

#[test]
fn answerers_agree_with_the_original() {
    for folder in original("answers", "text_decoder.cls.predictions.bias") {
        with_io(&folder, |io| {
            let model = model(&folder, &folder.join("model.safetensors"));
            let (images, _) = io.pictures("image");
            let questions = io.texts("question_ids", "question_mask");
            let answers = io.texts("answer_ids", "answer_mask");
            let (n, weights) = (io.integers("n").concat(), io.matrix("weights"));
            let mut answers_of = vec![];
            for &n in &n {
                let start = answers_of.last().map_or(0, |last: &Range<usize>| last.end);
                answers_of.push(start..start + n as usize);
            }
            let batch = AnswerBatch {
                images: images.view(),
                questions: questions.captions(),
                answers: answers.captions(),
                answers_of: &answers_of,
                weights: weights.as_slice().unwrap(),
            };
            check_trained(&folder, io, &model, || AnswerObjective::new(&model, Rates::default()), &batch);
        });
    }
}

/// Returns rows of generated ids, each up to what fills it up behind its end token.
fn without_filling(rows: Vec<Vec<i64>>, end: u32, prompt: usize) -> Vec<Vec<u32>> {
    let cut = |row: Vec<i64>| {
        let row: Vec<u32> = row.into_iter().map(|id| id as u32).collect();
        let behind = row.iter().enumerate().skip(prompt);
        let last = behind.into_iter().find(|&(_, &id)| id == end).map_or(row.len(), |(i, _)| i + 1);
        row[..last].to_vec()
    };
    rows.into_iter().map(cut).collect()
}

/// Generates from one prompt for each source and compares all ids.
#[track_caller]
fn check_generated(model: &Model, source: &Source, prompts: &[Vec<u32>], options: &Options, io: &Io, name: &str) {
    let requests: Vec<Request> =
        prompts.iter().enumerate().map(|(i, prompt)| Request { prompt, number: i as u64 }).collect();
    let p = model.params.view();
    let texts = write(&mut Inference::default(), &p, &model.config, source, &requests, options).unwrap();
    let expected = without_filling(io.integers(name), options.end, prompts[0].len());
    let ids: Vec<Vec<u32>> = texts.into_iter().map(|text| text.ids).collect();
    assert_eq!(ids, expected, "{name}");
    // Each alone gets the same text as in the batch.
    for (i, request) in requests.iter().enumerate() {
        let alone = source.alone(i);
        let texts = write(&mut Inference::default(), &p, &model.config, &alone, &[*request], options).unwrap();
        assert_eq!(texts[0].ids, expected[i], "{name}, request {i} alone");
    }
}

fn beams(beams: usize, style: BeamStyle) -> Search {
    Search::Beams { beams, style }
}

#[test]
fn captions_are_those_of_hugging_face() {
    for folder in hugging_face("BlipForConditionalGeneration") {
        with_io(&folder, |io| {
            let model = model(&folder, &folder.join("model.safetensors"));
            let ids = model.config.text.ids;
            let (images, _) = io.pictures("pixel_values");
            let source = Inference::default().look(&model.params.view(), &model.config, images.view());
            let style = BeamStyle::Transformers;
            let greedy = Options::new(ids.end, 12);
            let of_beams = |n| Options { search: beams(n, style), ..greedy.clone() };
            let options = [
                ("greedy", greedy.clone()),
                ("beam3", of_beams(3)),
                ("beam3_min", Options { min_length: 9, ..of_beams(3) }),
                ("beam2_penalty", Options { repetition_penalty: 1.3, length_penalty: 2.0, ..of_beams(2) }),
                ("beam4_early", Options { early_stopping: true, ..of_beams(4) }),
            ];
            let given = io.integers("prompt_input_ids");
            let prompt = |ids: &Vec<i64>| ids[..ids.len() - 1].iter().map(|&id| id as u32).collect::<Vec<_>>();
            let mut prompts: Vec<Vec<u32>> = given.iter().map(prompt).collect();
            prompts.iter_mut().for_each(|prompt| prompt[0] = ids.decode);
            let none = vec![vec![ids.decode]; images.nrows()];
            for (name, options) in options {
                check_generated(&model, &source, &none, &options, io, &format!("generated.{name}"));
                check_generated(&model, &source, &prompts, &options, io, &format!("generated.prompt.{name}"));
            }
        });
    }
}

#[test]
fn captions_are_those_of_the_original() {
    for folder in original("prompt_length", "text_decoder.cls.predictions.bias") {
        with_io(&folder, |io| {
            let model = model(&folder, &folder.join("model.safetensors"));
            let (ids, meta) = (model.config.text.ids, json(&folder.join("meta.json")));
            let (images, _) = io.pictures("image");
            let source = Inference::default().look(&model.params.view(), &model.config, images.view());
            let prompt = meta["prompt_ids"].as_array().unwrap();
            let mut prompt: Vec<u32> = prompt.iter().map(|id| id.as_u64().unwrap() as u32).collect();
            prompt.pop();
            prompt[0] = ids.decode;
            for (name, generate) in meta["generate"].as_object().unwrap() {
                let number = |key: &str| generate[key].as_u64().map(|number| number as usize);
                let n = number("num_beams").unwrap_or(1);
                let options = Options {
                    min_length: number("min_length").unwrap_or(0),
                    repetition_penalty: generate["repetition_penalty"].as_f64().unwrap_or(1.0) as f32,
                    search: if n == 1 { Search::Greedy } else { beams(n, BeamStyle::Original) },
                    ..Options::new(ids.end, number("max_length").unwrap())
                };
                let prompts = vec![prompt.clone(); images.nrows()];
                check_generated(&model, &source, &prompts, &options, io, &format!("generated.{name}"));
            }
        });
    }
}

/// Returns what questions become in the reference's batches, where they are padded: no row sees the padding, but the
/// padding has rows, and the decoder looks at them. This is the definition, in f64.
fn padded_questions(model: &Model, source: &Source, ids: &[Vec<i64>], mask: &[Vec<i64>]) -> Source {
    let (spec, flat) = (&model.params.spec, to_f64(&model.params.flat));
    let p = view(spec, &flat);
    let (text, size) = (p.text_encoder.as_ref().unwrap(), model.config.encoder().size);
    let embeddings = &text.shared.embeddings;
    let (width, length) = (size.width, ids[0].len());
    let mut tokens = Array2::zeros((ids.len() * length, width));
    for (i, (ids, mask)) in ids.iter().zip(mask).enumerate() {
        let real = mask.iter().filter(|&&real| real == 1).count();
        let picture = source.of(i).mapv(f64::from);
        let embedded = Array2::from_shape_fn((length, width), |(t, j)| {
            embeddings.word_embeddings[ids[t] as usize * width + j] + embeddings.position_embeddings[t * width + j]
        });
        let mut x = oracle::layer_norm(&embeddings.ln, size.eps, embedded.view());
        for (own, rest) in text.attention.iter().zip(&text.shared.layers) {
            let attn = &own.attn;
            let in_proj = Linear { weight: attn.in_proj_weight, bias: attn.in_proj_bias };
            let qkv = oracle::linear(&in_proj, x.view());
            let (c, mut out) = (width / size.heads, Array2::zeros(x.dim()));
            for head in 0..size.heads {
                let part = |third: usize, rows: usize| {
                    qkv.slice(s![..rows, third * width + head * c..third * width + (head + 1) * c])
                };
                let y = oracle::softmax_attention(part(0, length), part(1, real), part(2, real), false);
                out.slice_mut(s![.., head * c..(head + 1) * c]).assign(&y);
            }
            let sum = oracle::linear(&attn.out_proj, out.view()) + &x;
            let a = oracle::layer_norm(&own.ln, size.eps, sum.view());
            let (queries, rows) = ([0..length], [0..picture.nrows()]);
            let shape = Shape { queries: &queries, source: &rows, heads: size.heads, dropout: None };
            let sum = oracle::cross_attention(&rest.cross, shape, a.view(), picture.view()) + &a;
            let c = oracle::layer_norm(&rest.cross_ln, size.eps, sum.view());
            let sum = oracle::mlp(&rest.mlp, size.activation, c.view()) + &c;
            x = oracle::layer_norm(&rest.mlp_ln, size.eps, sum.view());
        }
        tokens.slice_mut(s![i * length..(i + 1) * length, ..]).assign(&x.mapv(|x| x as f32));
    }
    Source { tokens, rows: (0..ids.len()).map(|i| i * length..(i + 1) * length).collect() }
}

/// Checks the rows of `padded_questions` that are no padding against the model's own, and returns its source.
fn check_questions(
    model: &Model,
    images: ArrayView2<f32>,
    io: &Io,
    ids: &str,
    mask: &str,
    first: Option<u32>,
) -> Source {
    let (p, mut buffers) = (model.params.view(), Inference::default());
    let pictures = buffers.look(&p, &model.config, images);
    let mut questions = io.texts(ids, mask);
    let (mut ids, mask) = (io.integers(ids), io.integers(mask));
    if let Some(first) = first {
        questions = questions.begin_with(first);
        ids.iter_mut().for_each(|ids| ids[0] = i64::from(first));
    }
    let padded = padded_questions(model, &pictures, &ids, &mask);
    let one_each = one_each(images.nrows());
    let packed = buffers.read_questions(&p, &model.config, &pictures, questions.captions(), &one_each);
    for (i, rows) in packed.rows.iter().enumerate() {
        let expected = padded.of(i).slice_move(s![..rows.len(), ..]);
        close("question", &packed.of(i), &expected, OUTPUT);
    }
    padded
}

#[test]
fn answers_are_those_of_hugging_face() {
    for folder in hugging_face("BlipForQuestionAnswering") {
        with_io(&folder, |io| {
            let model = model(&folder, &folder.join("model.safetensors"));
            let ids = model.config.text.ids;
            let (images, _) = io.pictures("pixel_values");
            let names = ("generate.input_ids", "generate.attention_mask");
            let source = check_questions(&model, images.view(), io, names.0, names.1, None);
            let prompts = vec![vec![ids.decode]; images.nrows()];
            let greedy = Options::new(ids.end, 10);
            let beam3 = Options { search: beams(3, BeamStyle::Transformers), ..greedy.clone() };
            check_generated(&model, &source, &prompts, &greedy, io, "generated.greedy");
            check_generated(&model, &source, &prompts, &beam3, io, "generated.beam3");
        });
    }
}

#[test]
fn answers_are_those_of_the_original() {
    for folder in original("answers", "text_decoder.cls.predictions.bias") {
        with_io(&folder, |io| {
            let model = model(&folder, &folder.join("model.safetensors"));
            let (ids, meta) = (model.config.text.ids, json(&folder.join("meta.json")));
            let (images, _) = io.pictures("image");
            let encode = Some(ids.encode);
            let source = check_questions(&model, images.view(), io, "question_ids", "question_mask", encode);
            let prompts = vec![vec![ids.decode]; images.nrows()];
            let search = beams(3, BeamStyle::Original);
            let options = Options { min_length: 1, search, ..Options::new(ids.end, 10) };
            check_generated(&model, &source, &prompts, &options, io, "generated");

            // Ranking masks the padding.
            let candidates = io.texts("candidate_ids", "candidate_mask");
            let candidates: Vec<Vec<u32>> =
                candidates.rows().into_iter().map(|rows| candidates.ids[rows].to_vec()).collect();
            let (p, mut buffers) = (model.params.view(), Inference::default());
            let pictures = buffers.look(&p, &model.config, images.view());
            let questions = io.texts("question_ids", "question_mask").begin_with(ids.encode);
            let one_each = one_each(images.nrows());
            let source = buffers.read_questions(&p, &model.config, &pictures, questions.captions(), &one_each);
            let keep = meta["k_test"].as_u64().unwrap() as usize;
            let ranked: Vec<i64> = (0..images.nrows())
                .map(|i| {
                    let alone = source.alone(i);
                    buffers.rank(&p, &model.config, &alone, &candidates, keep, 0.1)[0].0 as i64
                })
                .collect();
            assert_eq!(ranked, io.integers("ranked").concat());
        });
    }
}

#[test]
fn retrieval_is_that_of_the_original() {
    for folder in original("k_test", "itm_head.weight") {
        with_io(&folder, |io| {
            let model = model(&folder, &folder.join("model.safetensors"));
            let (p, config, mut buffers) = (model.params.view(), &model.config, Inference::default());
            let (images, _) = io.pictures("eval.image");
            let source = buffers.look(&p, config, images.view());
            let texts = io.texts("eval.input_ids", "eval.attention_mask");
            let (images, words) =
                (buffers.embed_images(&p, config, &source), buffers.embed_texts(&p, config, texts.clone().captions()));
            let texts = texts.begin_with(config.text.ids.encode);
            let k = json(&folder.join("meta.json"))["k_test"].as_u64().unwrap() as usize;
            let judge = |(image, own): (usize, &Vec<usize>)| {
                let own = Texts::new(own.iter().map(|&text| texts.ids[texts.rows()[text].clone()].to_vec()));
                let alone = source.alone(image);
                let n = own.rows().len();
                buffers.match_logits(&p, config, &alone, own.captions(), &[0..n]).column(1).to_vec()
            };
            let Ok(reranked) = rerank(images.dot(&words.t()).view(), k, |texts_of| {
                Ok::<_, Infallible>(texts_of.iter().enumerate().map(judge).collect())
            });
            // Beside scores of order 1, −100 would hide every difference.
            let no_outside = |scores: &Array2<f32>| scores.mapv(|score| if score == OUTSIDE { 0.0 } else { score });
            for (ours, name) in
                [(&reranked.texts_of_images, "eval.score_i2t"), (&reranked.images_of_texts, "eval.score_t2i")]
            {
                let theirs = io.matrix(name);
                assert_eq!(ours.mapv(|x| x == OUTSIDE), theirs.mapv(|x| x == OUTSIDE), "{name}: candidates");
                close(name, &no_outside(ours), &no_outside(&theirs), OUTPUT);
            }
        });
    }
}
