#!/usr/bin/env python3
"""The same work in this project and in other frameworks, in turns on one machine.

    cargo build --release --bin clipwright
    pip install torch open_clip_torch
    python3 benches/compare.py --model ViT-B-32 --batch 1,8,32 --only encode_image,encode_text,train_step
    python3 benches/compare.py --only folder --photos ~/photos
    pip install transformers
    python3 benches/compare.py --model BLIP-base --batch 1,8 --only caption
    python3 benches/compare.py --model BLIP-base --image-size 224 --batch 16 --only train_step

More frameworks are in the tables of encode_image and encode_text when they are there:

    pip install onnx onnxruntime openvino nncf
    RUSTFLAGS=-Ctarget-cpu=native cargo build --release --manifest-path benches/peers/Cargo.toml

Every measurement is a process of its own, the frameworks take turns, and the table gives the median over all rounds,
with a table of its own for what computes in fewer bits than 32. Weights and inputs are random: the time does not
depend on them. Others pad captions to the whole context, as everybody does with open_clip; ours have --caption-tokens
tokens and no padding, which gives the same embeddings. Memory is the most a process held. A BLIP is compared with
Hugging Face's, without padding on either side; its picture is matched with --batch texts, once repeated for each text
and once shared. Its training step is one of pre-training, where PyTorch pads texts to 30 tokens, as the original does.
Of a training step the memory beyond what every framework must hold is shown too: beyond weights, gradients and
moments, and a BLIP's momentum copy and queues. Of PyTorch's, what it held before there was a model is not counted
either.

The work called folder takes the pictures of --photos from their files to embeddings by the same random weights: ours
is timed from the start of the process to its end, open_clip, with Pillow in two workers of a DataLoader, from when the
model is there. It says how near the embeddings are.
"""

import argparse
import functools
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile

ENCODERS = ["encode_image", "encode_text"]
WORKS = [*ENCODERS, "train_step", "info_nce"]
BLIP_WORKS = ["encode_image", "match", "caption", "answer", "train_step"]
HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "peers", "target", "release", "peers")


def main():
    args = arguments()
    with tempfile.TemporaryDirectory() as preloaded:
        if args.without_avx512:
            os.environ["LD_PRELOAD"] = without_avx512(preloaded)
        tabulate(args)


def tabulate(args):
    for work in args.only.split(","):
        if work == "folder":
            folder(args)
            continue
        for batch in map(int, args.batch.split(",")):
            with tempfile.TemporaryDirectory() as exported:
                for title, frameworks in tables(args, work, batch, exported):
                    compare(args, f"{args.model} {work}, batch {batch}{title}", frameworks)


def without_avx512(folder):
    """Builds the library with which all programs find a CPU without AVX-512."""
    library = os.path.join(folder, "without_avx512.so")
    source = os.path.join(HERE, "without_avx512.c")
    subprocess.run(["cc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipwright", default="target/release/clipwright", help="our binary [%(default)s]")
    parser.add_argument("--model", default="ViT-B-32", help="preset [%(default)s]")
    parser.add_argument("--batch", default="32", help="batch sizes, separated by commas [%(default)s]")
    parser.add_argument("--caption-tokens", type=int, default=10, help="tokens of a caption [%(default)s]")
    parser.add_argument("--image-size", type=int, default=0, help="edge of a BLIP's pictures [the model's]")
    parser.add_argument("--only", help="what to time, folder among it [all that the model does]")
    parser.add_argument("--photos", help="folder of pictures, for --only folder")
    parser.add_argument("--peers", help="frameworks whose names hold one of these words, separated by commas [all]")
    parser.add_argument(
        "--without-avx512", action="store_true", help="let all of them find a CPU that has AVX2 alone (Linux, cc)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each framework [%(default)s]")
    parser.add_argument("--repeats", type=int, default=5, help="repeats within a turn [%(default)s]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads [%(default)s]")
    args = parser.parse_args()
    works, peer = (BLIP_WORKS, "transformers") if is_blip(args) else (WORKS, "open_clip")
    if not installed("torch", peer):
        parser.error(f"PyTorch or {peer} is missing: pip install torch {peer.replace('open_clip', 'open_clip_torch')}")
    args.only = args.only or ",".join(works)
    unknown = set(args.only.split(",")) - {*works, *([] if is_blip(args) else ["folder"])}
    if args.image_size and not is_blip(args):
        parser.error(f"--image-size: {args.model} is no BLIP")
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(works)}")
    if ("folder" in args.only.split(",")) != bool(args.photos):
        parser.error("--photos and --only folder belong together")
    return args


def tables(args, work, batch, exported):
    """Returns titles and frameworks; the first framework of a table is ours."""
    sizes = [batch, args.caption_tokens, args.repeats, args.threads]
    if is_blip(args):
        theirs = lambda work: python("reference_blip.py", work, args.model, *sizes, args.image_size)
        frameworks = {"this project": ours(args, work, batch), "transformers": theirs(work)}
        if work == "match":
            frameworks["transformers, picture shared"] = theirs("match_shared")
        return [("", frameworks)]
    pytorch = lambda framework: python("reference.py", framework, work, args.model, *sizes)
    exact = {"this project": ours(args, work, batch), "pytorch": pytorch("pytorch")}
    if work not in ENCODERS:
        return [("", exact)]
    exact["pytorch, compiled"] = pytorch("compiled")
    coarse = {f"this project, {name}": ours(args, work, batch, name) for name in ("int8", "bf16")}
    coarse["pytorch, bf16"] = pytorch("bf16")
    if installed("onnx", "onnxruntime"):
        python("reference_onnx.py", "export", exported, work, args.model, batch, args.caption_tokens)()
        session = lambda framework, file: python(
            "reference_onnx.py", framework, os.path.join(exported, file), args.repeats, args.threads
        )
        exact["onnxruntime"] = session("onnxruntime", "model.onnx")
        coarse["onnxruntime, int8"] = session("onnxruntime", "int8.onnx")
        if installed("openvino"):
            exact["openvino"] = session("openvino", "model.onnx")
        if installed("openvino", "nncf"):
            coarse["openvino, int8"] = session("openvino", "int8.xml")
    if work == "encode_image" and os.path.exists(PEERS):
        exact |= {name: rust_peer(args, name, batch, exported) for name in rust_peers(args)}
    return [("", wanted(args, exact)), (", fewer bits", wanted(args, coarse))]


def wanted(args, frameworks):
    """Keeps those whose names hold one of the words of --peers, and ours."""
    words = (args.peers or "").split(",")
    return {name: run for name, run in frameworks.items() if "this" in name or any(word in name for word in words)}


def compare(args, title, frameworks):
    """Prints one line for each framework."""
    runs = {name: [] for name in frameworks}
    for _ in range(args.rounds):
        for name, run in frameworks.items():
            runs[name].append(run())
    medians = {name: statistics.median(run["seconds"] for run in turns) for name, turns in runs.items()}
    ours = medians[next(iter(frameworks))]
    print(f"\n{title}, {args.threads} threads")
    for name, turns in runs.items():
        seconds = [run["seconds"] for run in turns]
        memory = max(run["mib"] or 0 for run in turns)
        print(
            f"  {name:28}{1e3 * medians[name]:10.1f} ms  ({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"
            f"{memory:8.0f} MiB{medians[name] / ours:8.2f} times ours{more_memory(turns, runs)}{nearness(turns)}",
            flush=True,
        )


def more_memory(turns, runs):
    """Says what a training step holds beyond what every framework must hold."""
    held = [run["held_mib"] for run in sum(runs.values(), []) if "held_mib" in run]
    if not held or not all(run["mib"] for run in turns):
        return ""
    beyond = max(run["mib"] - run.get("runtime_mib", 0) for run in turns) - held[0]
    return f"{beyond:8.0f} MiB beyond the needed {held[0]:.0f}"


def nearness(turns):
    """Says how near embeddings are to open_clip's."""
    cosines = [run["cosines"] for run in turns if "cosines" in run]
    return f"   cosine {cosines[0][0]:.6f}, worst {cosines[0][1]:.6f}" if cosines else ""


def ours(args, work, batch, precision=None):
    def run():
        command = [args.clipwright, "bench", "--json", "--model", args.model, "--batch", str(batch), "--only", work]
        command += ["--caption-tokens", str(args.caption_tokens), "--repeats", str(args.repeats)]
        command += ["--image-size", str(args.image_size)] if args.image_size else []
        command += ["--precision", precision] if precision else []
        result = run_json(command, RAYON_NUM_THREADS=str(args.threads))["results"][0]
        return {"seconds": result["median_seconds"], "mib": result["peak_memory_mib"]}

    return run


def folder(args):
    """Compares the way from files of pictures to embeddings."""
    with tempfile.TemporaryDirectory() as shared:
        model, rows = os.path.join(shared, "model"), os.path.join(shared, "open_clip.npy")
        reference = functools.partial(python, "reference_folder.py")
        reference("save", args.model, model)()
        options = {"": [], ", --fast-decode": ["--fast-decode"]}
        options |= {f", int8{name}": [*more, "--precision", "int8"] for name, more in options.items()}
        embed = lambda more: lambda: reference("ours", args.clipwright, model, args.photos, rows, args.threads, *more)()
        frameworks = {"open_clip, PIL, 2 workers": reference("theirs", model, args.photos, rows, args.threads)}
        # Theirs come first: what they write is what ours are compared with.
        frameworks["open_clip, PIL, 2 workers"]()
        frameworks = {f"this project{name}": embed(more) for name, more in options.items()} | frameworks
        compare(args, f"{args.model} on the pictures of {args.photos}", frameworks)


def rust_peers(args):
    """Returns the frameworks in Rust that know the model. candle has the sizes of one, and its own weights."""
    return (["candle"] if args.model == "ViT-B-32" else []) + (["rten", "tract"] if installed("onnx") else [])


def rust_peer(args, name, batch, exported):
    def run():
        with open(os.path.join(exported, "image_size")) as file:
            size = file.read()
        model = args.model if name == "candle" else os.path.join(exported, "model.onnx")
        command = [PEERS, name, model, str(batch), size, str(args.repeats), str(args.threads)]
        return run_json(command, RAYON_NUM_THREADS=str(args.threads))

    return run


def python(script, *words):
    command = [sys.executable, os.path.join(HERE, script), *map(str, words)]
    return lambda: run_json(command)


def is_blip(args):
    return args.model.startswith("BLIP-")


def run_json(command, **environment):
    done = subprocess.run(command, stdout=subprocess.PIPE, env={**os.environ, **environment}, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def installed(*modules):
    return all(importlib.util.find_spec(module) for module in modules)


if __name__ == "__main__":
    main()
