"""One measurement for compare.py: a piece of work in PyTorch.

    reference.py pytorch|compiled|bf16 WORK MODEL BATCH CAPTION_TOKENS REPEATS THREADS

An encoder is run as it is, compiled with its weights frozen, or under autocast to bf16. Prints the median seconds and
the most memory the process ever held as JSON; of train_step also what every framework must hold, and what Python and
PyTorch held before.
"""

import logging
import sys
import warnings

import open_clip
import torch
from measure import measure, peak_mib

# What OpenAI trained has QuickGELU; open_clip calls these models otherwise.
QUICK_GELU = {"ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336", "RN50", "RN101", "RN50x4", "RN50x16", "RN50x64"}


def main():
    framework, work, model = sys.argv[1:4]
    batch, caption_tokens, repeats, threads = map(int, sys.argv[4:])
    quiet()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if work == "train_step":
        runtime = peak_mib()
        step, held = train_step(model, batch, caption_tokens)
        return measure(step, repeats, held_mib=held, runtime_mib=runtime)
    if work == "info_nce":
        step = info_nce(model, batch)
    else:
        step = by(framework, encoder(work, model, batch, caption_tokens))
    # One context around all repeats: it keeps the rounded weights.
    with torch.autocast("cpu", torch.bfloat16, enabled=framework == "bf16"):
        measure(step, repeats)


def quiet():
    """That there are no trained weights and that an export is the older one is meant so."""
    logging.getLogger().setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def create(name):
    return open_clip.create_model(full_name(name)).to(memory_format=memory_format(name))


def full_name(name):
    return name + "-quickgelu" if name in QUICK_GELU else name


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


def encoder(work, name, batch, caption_tokens):
    model = create(name).eval()
    if work == "encode_image":
        images = pictures(name, model, batch)
        return lambda: model.encode_image(images, normalize=True)
    texts = captions(model, batch, caption_tokens)
    return lambda: model.encode_text(texts, normalize=True)


def by(framework, encode):
    """Returns the encoder without gradients, as it is or compiled."""
    if framework == "compiled":
        from torch._inductor import config

        config.freezing = True
        encode = torch.compile(encode)
    # Freezing looks for no_grad and does not know inference_mode.
    return (torch.no_grad() if framework == "compiled" else torch.inference_mode())(encode)


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


if __name__ == "__main__":
    main()
