#!/usr/bin/env python3
"""Whether the graphs of `clipwright convert --to onnx` embed as `clipwright embed` does.

    cargo build --release --bin clipwright
    pip install numpy pillow onnx onnxruntime openvino
    python3 benches/onnx_check.py ViT-B-32 RN50 runs/001-Emoji-RN-S path/to/any/clip

A name of an architecture stands for random weights. Each model is written in 32 and in 16 bits, checked by ONNX's own
checker, and run by ONNX Runtime, and by OpenVINO if it is there. Pictures have the model's size, so that no resize is
compared, and the texts have lengths up to the whole context. Alone, together and with padding behind them they
must have the same embeddings. Prints the largest difference of any number of the unit-length rows, and fails if it is
above the tolerance: rounding in other orders.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = ["a dog", "a photo of a cat on a red sofa, seen from above", "émigré 東京 🦄 2025", "so many words " * 60]
TOLERANCE = 1e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--program", default=os.path.join(HERE, "..", "target", "release", "clipwright"))
    args = parser.parse_args()
    worst = 0.0
    for model in args.models:
        for dtype in ["f32", "f16"]:
            with tempfile.TemporaryDirectory() as folder:
                worst = max(worst, check(args.program, model, dtype, folder))
    sys.exit(f"differences up to {worst:.1e} are more than {TOLERANCE:.0e}" if not worst <= TOLERANCE else 0)


def check(program, model, dtype, folder):
    """Compares one model; returns the largest difference."""

    def clipwright(*words):
        done = subprocess.run([program, *words], check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    if not os.path.exists(model):
        clipwright("convert", "--random", model, os.path.join(folder, "random"))
        name, model = model, os.path.join(folder, "random")
    else:
        name = os.path.basename(os.path.normpath(model))
    graphs, plain = os.path.join(folder, "onnx"), os.path.join(folder, "plain")
    clipwright("convert", model, graphs, "--to", "onnx", "--dtype", dtype)
    clipwright("convert", model, plain, "--dtype", dtype)
    with open(os.path.join(graphs, "open_clip_config.json")) as file:
        config = json.load(file)
    paths, pixels = pictures(folder, config["preprocess_cfg"])
    with open(os.path.join(folder, "texts.txt"), "w") as file:
        file.writelines(text + "\n" for text in TEXTS)
    rows = os.path.join(folder, "rows.npy")
    clipwright("embed", *paths, "--model", plain, "--output", rows)
    images = numpy.load(rows)
    clipwright("embed", "--texts", file.name, "--model", plain, "--output", rows)
    texts = numpy.load(rows)
    lines = clipwright("explain", "tokens", *TEXTS, "--model", plain, "--json").splitlines()
    ids = [[token["id"] for token in json.loads(line)["tokens"]] for line in lines]

    worst = 0.0
    for file, given, expected in [("visual", pixels, images), ("textual", padded(ids), texts)]:
        path = os.path.join(graphs, file + ".onnx")
        onnx.checker.check_model(path, full_check=True)
        for runtime, run in runtimes(path):
            alone = [given[i:i + 1] for i in range(len(given))] if file == "visual" else [numpy.array([row]) for row in ids]
            found = numpy.array([run(given), numpy.concatenate([run(row) for row in alone])])
            off = float(abs(found - expected).max())
            print(f"{name:20} {dtype} {file:8} {runtime:12} {found.shape[1:]} at most {off:.1e} apart", flush=True)
            worst = max(worst, off) if off == off else off
    return worst


def pictures(folder, preprocess):
    """Writes pictures of noise and of colours; returns their paths, and what a tower is given of them."""
    edge = preprocess["size"]
    random = numpy.random.default_rng(0)
    noise = random.integers(0, 256, (2, edge, edge, 3))
    plain = numpy.broadcast_to(random.integers(0, 256, (2, 1, 1, 3)), noise.shape)
    rows = numpy.concatenate([noise, plain]).astype(numpy.uint8)
    paths = [os.path.join(folder, f"{i}.png") for i in range(len(rows))]
    for path, row in zip(paths, rows):
        Image.fromarray(row).save(path)
    mean, std = (numpy.array(preprocess[key], numpy.float32) for key in ["mean", "std"])
    pixels = (rows.astype(numpy.float32) / 255 - mean) / std
    return paths, numpy.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def padded(ids):
    """Returns a matrix of tokens, with zeros behind each text."""
    rows = numpy.zeros((len(ids), max(map(len, ids))), numpy.int64)
    for row, text in zip(rows, ids):
        row[:len(text)] = text
    return rows


def runtimes(path):
    """Yields what there is to run a graph by."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    yield "ONNX Runtime", lambda given: session.run(None, {name: given})[0]
    try:
        import openvino
    except ImportError:
        return
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    yield "OpenVINO", lambda given: model(given)[0]


if __name__ == "__main__":
    main()
