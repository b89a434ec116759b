//! SigLIP's checkpoints: as Hugging Face and OpenCLIP write them, with a configuration and without, and what is refused.

use clipwright::checkpoint::safetensors::Reader;
use clipwright::checkpoint::{
    CONFIG, Checkpoint, ConfigFile, Contents, Format, Overrides, Precision, WEIGHTS, kind, save, save_model,
};
use clipwright::models::clip::{Config, Layers, Model, TextConfig, VisionConfig, model};
use clipwright::params::count;
use clipwright::pictures::{Preprocess, ResizeMode};
use kernels::Activation;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/siglip")
}

fn open(path: &Path) -> Checkpoint {
    Checkpoint::open(path, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns a SigLIP whose sizes show in its tensors.
fn small() -> Config {
    let mut config = Config::preset("Emoji-ViT-S").unwrap().siglip();
    let VisionConfig { width, head_width, layers, image_size, .. } = &mut config.vision_cfg;
    (*width, *head_width, *layers, *image_size) = (128, 64, Layers::Vit(2), 40);
    (config.vision_cfg.map_head, config.vision_cfg.gelu_tanh, config.embed_dim) = (true, true, 128);
    let text_cfg = TextConfig { context_length: 7, vocab_size: 30, width: 64, heads: 1, layers: 3, ..config.text_cfg };
    config.text_cfg = TextConfig { gelu_tanh: true, no_causal_mask: true, ..text_cfg };
    config.vision_cfg.patch_size = Some(8);
    config.check().unwrap();
    config
}

#[test]
fn every_format_has_the_same_numbers() {
    let (model, config) = open(&golden()).model().unwrap();
    assert_eq!((config.preprocess_cfg.mean, config.preprocess_cfg.resize_mode), ([0.5; 3], ResizeMode::Squash));
    let folder = tempfile::tempdir().unwrap();
    for format in [Format::OpenClip, Format::HuggingFace] {
        let path = folder.path().join(format.to_string());
        save(&path, Contents { model: &model, config: &config }, format, Precision::F32).unwrap();
        let (again, file) = open(&path).model().unwrap();
        assert!(again.params.flat == model.params.flat, "{format}");
        assert_eq!(again.config, model.config, "{format}");
        assert_eq!(file.preprocess_cfg.resize_mode, ResizeMode::Squash);
    }
    let theirs = Reader::open(&folder.path().join("Hugging Face/model.safetensors")).unwrap();
    let original = Reader::open(&golden().join("model.safetensors")).unwrap();
    let sorted = |reader: &Reader| {
        let mut names = reader.names();
        names.sort();
        names
    };
    assert_eq!(sorted(&theirs), sorted(&original));
    for name in original.names() {
        assert_eq!(theirs.shape(&name), original.shape(&name), "{name}");
    }
    let open_clip = Reader::open(&folder.path().join("OpenCLIP").join(WEIGHTS)).unwrap();
    for (name, shape) in [
        ("visual.trunk.pos_embed", &[1, 16, 24][..]),
        ("visual.trunk.patch_embed.proj.bias", &[24]),
        ("visual.trunk.blocks.1.attn.qkv.weight", &[72, 24]),
        ("visual.trunk.attn_pool.latent", &[1, 1, 24]),
        ("visual.trunk.attn_pool.q.weight", &[24, 24]),
        ("visual.trunk.attn_pool.kv.weight", &[48, 24]),
        ("visual.trunk.attn_pool.kv.bias", &[48]),
        ("text.text_projection.weight", &[24, 20]),
        ("text.text_projection.bias", &[24]),
        ("text.transformer.resblocks.0.mlp.c_fc.weight", &[44, 20]),
        ("logit_bias", &[]),
    ] {
        assert_eq!(open_clip.shape(name), Some(shape), "{name}");
    }
}

/// The sizes show in the tensors, and a SigLIP has the form of GELU that all of them have.
#[test]
fn a_file_alone_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let (model, config) = (Model::new(small(), 1), ConfigFile::new(small()));
    for (format, name) in [(Format::OpenClip, WEIGHTS), (Format::HuggingFace, "model.safetensors")] {
        let path = folder.path().join(format.to_string());
        save(&path, Contents { model: &model, config: &config }, format, Precision::F32).unwrap();
        let alone = folder.path().join(format!("{format} alone.safetensors"));
        fs::copy(path.join(name), &alone).unwrap();
        assert_eq!(kind(&alone).unwrap().map(|kind| kind.to_string()), Some("a CLIP".into()));
        let checkpoint = open(&alone);
        assert_eq!(checkpoint.preprocess, Preprocess { size: 40, ..Preprocess::siglip() });
        let (again, _) = checkpoint.model().unwrap();
        assert_eq!(again.config, model.config, "{format}");
        assert!(again.params.flat == model.params.flat, "{format}");
    }
    // A saved model says its form of GELU, and whoever asks gets another.
    save_model(&folder.path().join("own"), &model, &config).unwrap();
    let asked = Overrides { activation: Some(Activation::Gelu), ..Overrides::default() };
    let erf = Checkpoint::open(&folder.path().join("own"), &asked).unwrap();
    let (erf_model, erf_config) = erf.model().unwrap();
    assert_eq!(erf_model.config.text().size.activation, Activation::Gelu);
    save_model(&folder.path().join("erf"), &erf_model, &erf_config).unwrap();
    assert_eq!(open(&folder.path().join("erf")).model().unwrap().0.config, erf_model.config);
}

/// Returns OpenCLIP's configuration of a published model: its name in timm, e, vocabulary, and the sizes of its text tower.
fn open_clip(trunk: &str, e: usize, vocabulary: usize, [width, heads, layers]: [usize; 3], ratio: f64) -> Value {
    let mut file = json!({
        "embed_dim": e, "init_logit_bias": -10, "custom_text": true,
        "vision_cfg": {
            "timm_model_name": trunk, "timm_model_pretrained": false, "timm_pool": "map", "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 64, "vocab_size": vocabulary, "hf_tokenizer_name": "timm/x", "width": width,
            "tokenizer_kwargs": { "clean": "canonicalize" }, "heads": heads, "layers": layers, "mlp_ratio": ratio,
            "no_causal_mask": true, "proj_bias": true, "pool_type": "last", "norm_kwargs": { "eps": 1e-6 },
        },
    });
    let image_size: usize = trunk.rsplit('_').next().unwrap().parse().unwrap();
    file["vision_cfg"]["image_size"] = json!(image_size);
    file
}

/// The counts are those of the published models.
#[test]
fn openclips_configurations_are_read() {
    let (base, large, so) = ([768, 12, 12], [1024, 16, 24], [1152, 16, 27]);
    for (trunk, e, vocabulary, text, ratio, parameters) in [
        ("vit_base_patch16_siglip_224", 768, 32_000, base, 4.0, 203_155_970),
        ("vit_base_patch16_siglip_256", 768, 250_000, base, 4.0, 370_626_050),
        ("vit_base_patch32_siglip_256", 768, 256_000, base, 4.0, 376_856_066),
        ("vit_large_patch16_siglip_384", 1024, 256_000, large, 4.0, 881_854_466),
        ("vit_so400m_patch14_siglip_384", 1152, 32_000, so, 3.7362, 877_960_498),
        ("vit_so400m_patch14_siglip_378", 1152, 32_000, so, 3.7362, 877_960_498),
        ("vit_giantopt_patch16_siglip_256", 1536, 256_000, so, 3.7362, 1_871_393_906),
    ] {
        let file = ConfigFile::parse(open_clip(trunk, e, vocabulary, text, ratio)).unwrap();
        let config = &file.model_cfg;
        assert_eq!(count(&model::spec(config)), parameters, "{trunk}");
        assert_eq!(config.vision().activation(), Some(Activation::GeluTanh));
        assert_eq!(file.preprocess_cfg.mean, [0.5; 3]);
        let folder = tempfile::tempdir().unwrap();
        file.write(&folder.path().join(CONFIG)).unwrap();
        assert_eq!(ConfigFile::read(&folder.path().join(CONFIG)).unwrap().model_cfg, *config);
        let written: Value = serde_json::from_slice(&fs::read(folder.path().join(CONFIG)).unwrap()).unwrap();
        assert_eq!(written["model_cfg"]["vision_cfg"]["timm_model_name"], trunk);
        assert_eq!(written["model_cfg"]["text_cfg"]["pool_type"], "last");
    }
}

#[test]
fn what_is_not_here_is_refused_by_name() {
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut file = open_clip("vit_base_patch16_siglip_224", 768, 32_000, [768, 12, 12], 4.0);
        change(&mut file);
        ConfigFile::parse(file).unwrap_err().to_string()
    };
    assert!(broken(&|file| file["vision_cfg"]["timm_model_name"] = json!("convnext_base")).contains("timm_model_name"));
    assert!(broken(&|file| file["vision_cfg"]["timm_pool"] = json!("avg")).contains("timm"));
    assert!(broken(&|file| file["text_cfg"]["pool_type"] = json!("argmax")).contains("pool_type"));
    assert!(broken(&|file| file["text_cfg"]["norm_kwargs"] = json!({ "eps": 1e-5 })).contains("eps"));
    assert!(broken(&|file| file["text_cfg"]["proj_type"] = json!("none")).contains("proj_type"));
    assert!(broken(&|file| file["embed_dim"] = json!(512)).contains("MAP head"));

    let folder = tempfile::tempdir().unwrap();
    fs::copy(golden().join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let theirs: Value = serde_json::from_slice(&fs::read(golden().join("config.json")).unwrap()).unwrap();
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut file = theirs.clone();
        change(&mut file);
        fs::write(folder.path().join("config.json"), file.to_string()).unwrap();
        Checkpoint::open(folder.path(), &Overrides::default()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(broken(&|file| file["model_type"] = json!("siglip2")).contains("NaFlex"));
    assert!(broken(&|file| file["vision_config"]["vision_use_head"] = json!(false)).contains("vision_use_head"));
    assert!(broken(&|file| file["text_config"]["layer_norm_eps"] = json!(1e-5)).contains("layer_norm_eps"));
    assert!(broken(&|file| file["text_config"]["projection_size"] = json!(20)).contains("MAP head"));
    assert!(broken(&|file| file["text_config"]["hidden_act"] = json!("relu")).contains("relu"));
}

/// Each tower may have its own form of GELU.
#[test]
fn towers_have_their_own_activations() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(golden().join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let mut file: Value = serde_json::from_slice(&fs::read(golden().join("config.json")).unwrap()).unwrap();
    file["text_config"]["hidden_act"] = json!("gelu");
    fs::write(folder.path().join("config.json"), file.to_string()).unwrap();
    let (model, config) = open(folder.path()).model().unwrap();
    let activations = |config: &Config| (config.vision().activation(), config.text().size.activation);
    assert_eq!(activations(&model.config), (Some(Activation::GeluTanh), Activation::Gelu));
    for format in [Format::OpenClip, Format::HuggingFace] {
        let path = folder.path().join(format.to_string());
        save(&path, Contents { model: &model, config: &config }, format, Precision::F32).unwrap();
        assert_eq!(open(&path).model().unwrap().0.config, model.config, "{format}");
    }
}
