#!/usr/bin/env python3
"""The same work in this project, PyTorch and ONNX Runtime, in turns on one machine.

    cargo build --release --bin clipwright
    pip install torch open_clip_torch            # onnx onnxruntime too, to have ONNX Runtime in the table
    python3 benches/compare.py --model ViT-B-32 --batch 1,8,32 --only encode_image,encode_text,train_step
    pip install torch transformers
    python3 benches/compare.py --model BLIP-base --batch 1,8 --only caption
    python3 benches/compare.py --model BLIP-base --image-size 224 --batch 16 --only train_step

Every measurement is a process of its own, the frameworks take turns, and the table gives the median over all rounds.
Weights and inputs are random: the time does not depend on them. PyTorch pads captions to the whole context, as everybody
does with open_clip; ours have --caption-tokens tokens and no padding, which gives the same embeddings. Memory is the most
a process held; that of ONNX Runtime's includes the export from PyTorch. A BLIP is compared with Hugging Face's, without
padding on either side; its picture is matched with --batch texts, once repeated for each text and once shared. Its
training step is one of pre-training, where PyTorch pads texts to 30 tokens, as the original does. Of a training step the
memory beyond what every framework must hold is shown too: beyond weights, gradients and moments, and a BLIP's momentum
copy and queues. Of PyTorch's, what it held before there was a model is not counted either.
"""

import argparse
import functools
import importlib.util
import json
import os
import statistics
import subprocess
import sys

WORKS = ["encode_image", "encode_text", "train_step", "info_nce"]
BLIP_WORKS = ["encode_image", "match", "caption", "answer", "train_step"]


def main():
    args = arguments()
    for work in args.only.split(","):
        for batch in map(int, args.batch.split(",")):
            compare(args, work, batch)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipwright", default="target/release/clipwright", help="our binary [%(default)s]")
    parser.add_argument("--model", default="ViT-B-32", help="preset [%(default)s]")
    parser.add_argument("--batch", default="32", help="batch sizes, separated by commas [%(default)s]")
    parser.add_argument("--caption-tokens", type=int, default=10, help="tokens of a caption [%(default)s]")
    parser.add_argument("--image-size", type=int, default=0, help="edge of a BLIP's pictures [the model's]")
    parser.add_argument("--only", help="what to time [all that the model does]")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each framework [%(default)s]")
    parser.add_argument("--repeats", type=int, default=5, help="repeats within a turn [%(default)s]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads [%(default)s]")
    args = parser.parse_args()
    works, peer = (BLIP_WORKS, "transformers") if is_blip(args) else (WORKS, "open_clip")
    if not installed("torch", peer):
        parser.error(f"PyTorch or {peer} is missing: pip install torch {peer.replace('open_clip', 'open_clip_torch')}")
    args.only = args.only or ",".join(works)
    unknown = set(args.only.split(",")) - set(works)
    if args.image_size and not is_blip(args):
        parser.error(f"--image-size: {args.model} is no BLIP")
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(works)}")
    return args


def compare(args, work, batch):
    """Prints one line for each framework."""
    frameworks = {"this project": ours}
    if is_blip(args):
        frameworks["transformers"] = blip
        if work == "match":
            frameworks["transformers, picture shared"] = lambda args, _, batch: blip(args, "match_shared", batch)
    else:
        frameworks["pytorch"] = functools.partial(theirs, "pytorch")
    if not is_blip(args) and work == "encode_image" and installed("onnx", "onnxruntime"):
        frameworks["onnxruntime"] = functools.partial(theirs, "onnxruntime")
    runs = {name: [] for name in frameworks}
    for _ in range(args.rounds):
        for name, run in frameworks.items():
            runs[name].append(run(args, work, batch))
    medians = {name: statistics.median(run["seconds"] for run in turns) for name, turns in runs.items()}
    print(f"\n{args.model} {work}, batch {batch}, {args.threads} threads")
    for name, turns in runs.items():
        seconds = [run["seconds"] for run in turns]
        memory = max(run["mib"] or 0 for run in turns)
        ratio = medians[name] / medians["this project"]
        print(
            f"  {name:28}{1e3 * medians[name]:10.1f} ms  ({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"
            f"{memory:8.0f} MiB{ratio:8.2f} times ours{more_memory(turns, runs)}",
            flush=True,
        )


def ours(args, work, batch):
    command = [args.clipwright, "bench", "--json", "--model", args.model, "--batch", str(batch), "--only", work]
    command += ["--caption-tokens", str(args.caption_tokens), "--repeats", str(args.repeats)]
    command += ["--image-size", str(args.image_size)] if args.image_size else []
    result = run_json(command, RAYON_NUM_THREADS=str(args.threads))["results"][0]
    return {"seconds": result["median_seconds"], "mib": result["peak_memory_mib"]}


def more_memory(turns, runs):
    """Says what a training step holds beyond what every framework must hold."""
    held = [run["held_mib"] for run in sum(runs.values(), []) if "held_mib" in run]
    if not held or not all(run["mib"] for run in turns):
        return ""
    beyond = max(run["mib"] - run.get("runtime_mib", 0) for run in turns) - held[0]
    return f"{beyond:8.0f} MiB beyond the needed {held[0]:.0f}"


def theirs(framework, args, work, batch):
    command = [sys.executable, os.path.join(os.path.dirname(__file__), "reference.py"), framework, work, args.model]
    return run_json(command + [str(n) for n in (batch, args.caption_tokens, args.repeats, args.threads)])


def blip(args, work, batch):
    command = [sys.executable, os.path.join(os.path.dirname(__file__), "reference_blip.py"), work, args.model]
    sizes = (batch, args.caption_tokens, args.repeats, args.threads, args.image_size)
    return run_json(command + [str(n) for n in sizes])


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
