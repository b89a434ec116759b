"""One measurement for compare.py: a piece of work in PyTorch or ONNX Runtime.

    reference.py FRAMEWORK WORK MODEL BATCH CAPTION_TOKENS REPEATS THREADS

Prints the median seconds and the most memory the process ever held as JSON; of train_step also what every framework
must hold, and what Python and PyTorch held before.
"""

import logging
import os
import sys
import tempfile
import warnings

import open_clip
import torch
from measure import measure, peak_mib

# What OpenAI trained has QuickGELU; open_clip calls these models otherwise.
QUICK_GELU = {"ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336", "RN50", "RN101", "RN50x4", "RN50x16", "RN50x64"}


def main():
    framework, work, model = sys.argv[1:4]
    batch, caption_tokens, repeats, threads = map(int, sys.argv[4:])
    # That there are no trained weights and that the export is the older one is meant so.
    logging.getLogger().setLevel(logging.ERROR)
    warnings.simplefilter("ignore", DeprecationWarning)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if work == "train_step":
        runtime = peak_mib()
        step, held = train_step(model, batch, caption_tokens)
        return measure(step, repeats, held_mib=held, runtime_mib=runtime)
    if framework == "onnxruntime":
        step = onnx_encode_image(model, batch, threads)
    elif work == "encode_text":
        step = encode_text(model, batch, caption_tokens)
    else:
        step = {"encode_image": encode_image, "info_nce": info_nce}[work](model, batch)
    measure(step, repeats)


def create(name):
    model = open_clip.create_model(name + "-quickgelu" if name in QUICK_GELU else name)
    return model.to(memory_format=memory_format(name))


def memory_format(name):
    """Convolutions are faster with the channels last."""
    return torch.channels_last if name.startswith("RN") else torch.contiguous_format


def pictures(name, model, batch):
    size = model.visual.image_size
    height, width = size if isinstance(size, tuple) else (size, size)
    return torch.randn(batch, 3, height, width).to(memory_format=memory_format(name))


def captions(model, batch, tokens):
    """Start, words, end, and padding up to the context."""
    end = model.vocab_size - 1
    texts = torch.zeros(batch, model.context_length, dtype=torch.long)
    texts[:, :tokens] = torch.randint(1, end - 1, (batch, tokens))
    texts[:, 0], texts[:, tokens - 1] = end - 1, end
    return texts


def encode_image(name, batch):
    model = create(name).eval()
    images = pictures(name, model, batch)
    return torch.inference_mode()(lambda: model.encode_image(images, normalize=True))


def encode_text(name, batch, caption_tokens):
    model = create(name).eval()
    texts = captions(model, batch, caption_tokens)
    return torch.inference_mode()(lambda: model.encode_text(texts, normalize=True))


def train_step(name, batch, caption_tokens):
    """Returns a step, and the MiB of weights, gradients and both moments."""
    model = create(name).train()
    images, texts = pictures(name, model, batch), captions(model, batch, caption_tokens)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2)
    loss = open_clip.ClipLoss()

    def step():
        optimizer.zero_grad()
        loss(*model(images, texts)[:3]).backward()
        optimizer.step()

    return step, 4 * 4 * sum(p.numel() for p in model.parameters()) / (1 << 20)


def info_nce(name, batch):
    embed_dim = open_clip.get_model_config(name)["embed_dim"]
    normalize = torch.nn.functional.normalize
    images, texts = (normalize(torch.randn(batch, embed_dim), dim=-1).requires_grad_() for _ in range(2))
    logit_scale = torch.tensor(1 / 0.07).log().requires_grad_()
    loss = open_clip.ClipLoss()

    def step():
        images.grad = texts.grad = logit_scale.grad = None
        loss(images, texts, logit_scale.exp()).backward()

    return step


def onnx_encode_image(name, batch, threads):
    import onnxruntime

    model = create(name).eval()
    images = pictures(name, model, batch).contiguous()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "visual.onnx")
        torch.onnx.export(model.visual, images, path, input_names=["images"], dynamo=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {"images": images.numpy()}
    return lambda: session.run(None, inputs)


if __name__ == "__main__":
    main()
