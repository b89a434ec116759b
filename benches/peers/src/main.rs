//! One measurement for compare.py: random pictures through the image tower of a CLIP, by a framework written in Rust.
//!
//! ```sh
//! peers rten|tract MODEL.onnx BATCH IMAGE_SIZE REPEATS THREADS
//! peers candle ViT-B-32 BATCH IMAGE_SIZE REPEATS THREADS
//! ```
//!
//! Prints the median seconds and the most memory that the process ever held as JSON.

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use candle_transformers::models::clip::{ClipConfig, ClipModel};
use rten::{Model, RunOptions, ThreadPool};
use rten_tensor::AsView;
use std::sync::Arc;
use std::time::Instant;
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::{DatumExt, Framework, InferenceModelExt, IntoRunnable, IntoTensor, TValue, tvec};

/// Encodes the same pictures once more and returns the embeddings.
type Encode = Box<dyn FnMut() -> Result<Vec<f32>>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [framework, model, sizes @ ..] = args.as_slice() else { bail!("usage: see the first lines of main.rs") };
    let sizes: Vec<usize> = sizes.iter().map(|n| n.parse().context(n.clone())).collect::<Result<_>>()?;
    let &[batch, size, repeats, threads] = sizes.as_slice() else { bail!("four numbers after the model") };
    let shape = [batch, 3, size, size];
    // A fixed noise in -1..1: the time does not depend on the numbers.
    let pixels: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| (i as f32 * 12.9898).sin()).collect();
    let mut encode = match framework.as_str() {
        "candle" => candle(model, shape, pixels)?,
        "rten" => rten(model, shape, pixels, threads)?,
        "tract" => tract(model, shape, pixels, threads)?,
        other => bail!("{other} is none of candle, rten, tract"),
    };
    let embeddings = encode()?;
    ensure!(embeddings.len() % batch == 0 && embeddings.iter().all(|x| x.is_finite()), "no embeddings");
    let mut seconds = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        encode()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    println!("{}", serde_json::json!({ "seconds": seconds[repeats / 2], "mib": peak_mib() }));
    Ok(())
}

/// Its number of threads is what RAYON_NUM_THREADS says.
fn candle(model: &str, shape: [usize; 4], pixels: Vec<f32>) -> Result<Encode> {
    ensure!(model == "ViT-B-32", "candle knows the sizes of ViT-B-32 alone");
    let weights = VarMap::new();
    let builder = VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu);
    let model = ClipModel::new(builder, &ClipConfig::vit_base_patch32())?;
    let images = Tensor::from_vec(pixels, shape.as_slice(), &Device::Cpu)?;
    Ok(Box::new(move || Ok(model.get_image_features(&images)?.flatten_all()?.to_vec1()?)))
}

fn rten(path: &str, shape: [usize; 4], pixels: Vec<f32>, threads: usize) -> Result<Encode> {
    let model = Model::load_file(path)?;
    let images = rten_tensor::Tensor::from_data(&shape, pixels);
    let options = RunOptions::default().with_thread_pool(Some(Arc::new(ThreadPool::with_num_threads(threads))));
    Ok(Box::new(move || {
        let embeddings = model.run_one(images.view().into(), Some(options.clone()))?;
        Ok(rten_tensor::Tensor::<f32>::try_from(embeddings)?.to_vec())
    }))
}

fn tract(path: &str, shape: [usize; 4], pixels: Vec<f32>, threads: usize) -> Result<Encode> {
    set_default_executor(Executor::multithread(threads));
    let fact = f32::fact(shape);
    let model = tract_onnx::onnx().model_for_path(path)?.with_input_fact(0, fact.into())?;
    let model = model.into_optimized()?.into_runnable()?;
    let images: TValue = tract_onnx::tract_core::ndarray::Array4::from_shape_vec(shape, pixels)?.into_tensor().into();
    Ok(Box::new(move || {
        let embeddings = model.run(tvec!(images.clone()))?;
        Ok(embeddings[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    }))
}

/// The most memory that this process ever held; none where the system has no /proc.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}
