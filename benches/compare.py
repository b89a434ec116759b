#!/usr/bin/env python3
"""The same work in this project, PyTorch and ONNX Runtime, in turns on one machine.

    cargo build --release --bin clipwright
    pip install torch open_clip_torch            # onnx onnxruntime too, to have ONNX Runtime in the table
    python3 benches/compare.py --model ViT-B-32 --batch 1,8,32 --only encode_image,encode_text,train_step

Every measurement is a process of its own, the frameworks take turns, and the table gives the median over all rounds.
Weights and inputs are random: the time does not depend on them. PyTorch pads captions to the whole context, as everybody
does with open_clip; ours have --caption-tokens tokens and no padding, which gives the same embeddings. Memory is the most
a process held; that of ONNX Runtime's includes the export from PyTorch.
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
    parser.add_argument("--only", default=",".join(WORKS), help="what to time [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each framework [%(default)s]")
    parser.add_argument("--repeats", type=int, default=5, help="repeats within a turn [%(default)s]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads [%(default)s]")
    args = parser.parse_args()
    if not installed("torch", "open_clip"):
        parser.error("PyTorch or open_clip is missing: pip install torch open_clip_torch")
    unknown = set(args.only.split(",")) - set(WORKS)
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(WORKS)}")
    return args


def compare(args, work, batch):
    """Prints one line for each framework."""
    frameworks = {"this project": ours, "pytorch": functools.partial(theirs, "pytorch")}
    if work == "encode_image" and installed("onnx", "onnxruntime"):
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
            f"  {name:13}{1e3 * medians[name]:10.1f} ms  ({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"
            f"{memory:8.0f} MiB{ratio:8.2f} times ours",
            flush=True,
        )


def ours(args, work, batch):
    command = [args.clipwright, "bench", "--json", "--model", args.model, "--batch", str(batch), "--only", work]
    command += ["--caption-tokens", str(args.caption_tokens), "--repeats", str(args.repeats)]
    result = run_json(command, RAYON_NUM_THREADS=str(args.threads))["results"][0]
    return {"seconds": result["median_seconds"], "mib": result["peak_memory_mib"]}


def theirs(framework, args, work, batch):
    command = [sys.executable, os.path.join(os.path.dirname(__file__), "reference.py"), framework, work, args.model]
    return run_json(command + [str(n) for n in (batch, args.caption_tokens, args.repeats, args.threads)])


def run_json(command, **environment):
    done = subprocess.run(command, stdout=subprocess.PIPE, env={**os.environ, **environment}, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def installed(*modules):
    return all(importlib.util.find_spec(module) for module in modules)


if __name__ == "__main__":
    main()
