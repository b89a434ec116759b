#!/usr/bin/env python3
"""The same work in this project, PyTorch and ONNX Runtime, in turns on one machine.

    cargo build --release --bin clip
    pip install torch open_clip_torch            # onnx onnxruntime too, to have ONNX Runtime in the table
    python3 benches/compare.py --model ViT-B-32 --batch 1,8,32 --only encode_image,encode_text,train_step

Every measurement is a process of its own, the frameworks take turns, and the table gives the median over all rounds.
Weights and inputs are random: the time does not depend on them. PyTorch pads captions to the whole context, as everybody
does with open_clip; ours have --caption-tokens tokens and no padding, which gives the same embeddings.
"""

import argparse
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

WORKS = ["encode_image", "encode_text", "train_step", "info_nce"]
# What OpenAI trained has QuickGELU; open_clip calls these models otherwise.
QUICK_GELU = {"ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336", "RN50", "RN101", "RN50x4", "RN50x16", "RN50x64"}


def main():
    args = arguments()
    if args.worker:
        print(json.dumps(measure(args, args.worker)))
        return
    for work in args.only.split(","):
        for batch in map(int, args.batch.split(",")):
            compare(args, work, batch)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", default="target/release/clip", help="our binary [%(default)s]")
    parser.add_argument("--model", default="ViT-B-32", help="preset [%(default)s]")
    parser.add_argument("--batch", default="32", help="batch sizes, separated by commas [%(default)s]")
    parser.add_argument("--caption-tokens", type=int, default=10, help="tokens of a caption [%(default)s]")
    parser.add_argument("--only", default=",".join(WORKS), help="what to time [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each framework [%(default)s]")
    parser.add_argument("--repeats", type=int, default=5, help="repeats within a turn [%(default)s]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads [%(default)s]")
    parser.add_argument("--worker", choices=["pytorch", "onnxruntime"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    unknown = set(args.only.split(",")) - set(WORKS)
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(WORKS)}")
    return args


def compare(args, work, batch):
    """Prints one line for each framework."""
    frameworks = {"this project": ours, "pytorch": lambda *a: worker("pytorch", *a)}
    if work == "encode_image" and has_onnx():
        frameworks["onnxruntime"] = lambda *a: worker("onnxruntime", *a)
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
    command = [args.clip, "bench", "--json", "--model", args.model, "--batch", str(batch), "--only", work]
    command += ["--caption-tokens", str(args.caption_tokens), "--repeats", str(args.repeats)]
    result = run_json(command, RAYON_NUM_THREADS=str(args.threads))["results"][0]
    return {"seconds": result["median_seconds"], "mib": result["peak_memory_mib"]}


def worker(framework, args, work, batch):
    command = [sys.executable, __file__, "--worker", framework, "--model", args.model, "--batch", str(batch)]
    command += ["--only", work, "--repeats", str(args.repeats), "--threads", str(args.threads)]
    return run_json(command + ["--caption-tokens", str(args.caption_tokens)])


def run_json(command, **environment):
    done = subprocess.run(command, stdout=subprocess.PIPE, env={**os.environ, **environment}, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def has_onnx():
    try:
        import onnx, onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


def measure(args, framework):
    """In a process of its own: the median time of a piece of work, and the most memory the process ever held."""
    import torch

    # That there are no trained weights and that the export is the older one is meant so.
    logging.getLogger().setLevel(logging.ERROR)
    warnings.simplefilter("ignore", DeprecationWarning)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    make = {
        "encode_image": onnx_encode_image if framework == "onnxruntime" else torch_encode_image,
        "encode_text": torch_encode_text,
        "train_step": torch_train_step,
        "info_nce": torch_info_nce,
    }[args.only]
    step = make(args, int(args.batch))
    step()
    seconds = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    # macOS counts bytes, Linux KiB.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return {"seconds": statistics.median(seconds), "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}


def torch_model(args):
    import open_clip
    import torch

    name = args.model + "-quickgelu" if args.model in QUICK_GELU else args.model
    model = open_clip.create_model(name)
    # Convolutions are faster with the channels last.
    return model.to(memory_format=torch.channels_last) if args.model.startswith("RN") else model


def pictures(args, model, batch):
    import torch

    size = model.visual.image_size
    height, width = size if isinstance(size, tuple) else (size, size)
    images = torch.randn(batch, 3, height, width)
    return images.to(memory_format=torch.channels_last) if args.model.startswith("RN") else images


def captions(args, model, batch):
    """Start, words, end, and padding up to the context."""
    import torch

    end = model.vocab_size - 1
    texts = torch.zeros(batch, model.context_length, dtype=torch.long)
    texts[:, : args.caption_tokens] = torch.randint(1, end - 1, (batch, args.caption_tokens))
    texts[:, 0], texts[:, args.caption_tokens - 1] = end - 1, end
    return texts


def torch_encode_image(args, batch):
    import torch

    model = torch_model(args).eval()
    images = pictures(args, model, batch)
    return torch.inference_mode()(lambda: model.encode_image(images, normalize=True))


def torch_encode_text(args, batch):
    import torch

    model = torch_model(args).eval()
    texts = captions(args, model, batch)
    return torch.inference_mode()(lambda: model.encode_text(texts, normalize=True))


def torch_train_step(args, batch):
    import open_clip
    import torch

    model = torch_model(args).train()
    images, texts = pictures(args, model, batch), captions(args, model, batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2)
    loss = open_clip.ClipLoss()

    def step():
        optimizer.zero_grad()
        loss(*model(images, texts)[:3]).backward()
        optimizer.step()

    return step


def torch_info_nce(args, batch):
    import open_clip
    import torch

    embed_dim = open_clip.get_model_config(args.model)["embed_dim"]
    normalize = torch.nn.functional.normalize
    images, texts = (normalize(torch.randn(batch, embed_dim), dim=-1).requires_grad_() for _ in range(2))
    logit_scale = torch.tensor(1 / 0.07).log().requires_grad_()
    loss = open_clip.ClipLoss()

    def step():
        images.grad = texts.grad = logit_scale.grad = None
        loss(images, texts, logit_scale.exp()).backward()

    return step


def onnx_encode_image(args, batch):
    import onnxruntime
    import torch

    model = torch_model(args).eval()
    images = pictures(args, model, batch).contiguous()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "visual.onnx")
        torch.onnx.export(model.visual, images, path, input_names=["images"], dynamo=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {"images": images.numpy()}
    return lambda: session.run(None, inputs)


if __name__ == "__main__":
    main()
