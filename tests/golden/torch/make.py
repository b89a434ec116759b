"""A tiny CLIP as torch.save writes training checkpoints: wrapped, prefixed, beside an optimizer's state.

The n-th tensor by name (from 0) holds ((i + n) % 17 - 8) / 16 at element i, which f16 holds exactly.
"""
import json
import torch

width, layers = 8, 1
config = {
    "embed_dim": 6,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 8, "layers": layers, "width": width, "patch_size": 4, "head_width": 4},
    "text_cfg": {"context_length": 5, "vocab_size": 11, "width": width, "heads": 2, "layers": layers},
}


def block(at):
    return {
        f"{at}.ln_1.weight": (8,), f"{at}.ln_1.bias": (8,), f"{at}.ln_2.weight": (8,), f"{at}.ln_2.bias": (8,),
        f"{at}.attn.in_proj_weight": (24, 8), f"{at}.attn.in_proj_bias": (24,),
        f"{at}.attn.out_proj.weight": (8, 8), f"{at}.attn.out_proj.bias": (8,),
        f"{at}.mlp.c_fc.weight": (32, 8), f"{at}.mlp.c_fc.bias": (32,),
        f"{at}.mlp.c_proj.weight": (8, 32), f"{at}.mlp.c_proj.bias": (8,),
    }


shapes = {
    "logit_scale": (), "positional_embedding": (5, 8), "text_projection": (8, 6), "token_embedding.weight": (11, 8),
    "ln_final.weight": (8,), "ln_final.bias": (8,), **block("transformer.resblocks.0"),
    "visual.class_embedding": (8,), "visual.positional_embedding": (5, 8), "visual.proj": (8, 6),
    "visual.conv1.weight": (8, 3, 4, 4), "visual.ln_pre.weight": (8,), "visual.ln_pre.bias": (8,),
    "visual.ln_post.weight": (8,), "visual.ln_post.bias": (8,), **block("visual.transformer.resblocks.0"),
}


def values(n, shape):
    size = torch.Size(shape).numel()
    return ((torch.arange(size) + n) % 17 - 8).reshape(shape) / 16


weights = {f"module.{name}": values(n, shapes[name]).half() for n, name in enumerate(sorted(shapes))}
# A view into a larger storage, and a transposed one.
weights["module.ln_final.bias"] = torch.cat([torch.ones(3).half(), weights["module.ln_final.bias"]])[3:]
weights["module.visual.proj"] = weights["module.visual.proj"].T.contiguous().T
torch.save(
    {"epoch": 3, "name": "tiny", "state_dict": weights, "optimizer": {"state": {0: {"exp_avg": torch.zeros(4)}}}},
    "open_clip_pytorch_model.bin",
)
with open("open_clip_config.json", "w") as file:
    json.dump(config, file, indent=1)

# The same weights as other training scripts wrap them, for which OpenCLIP's folder has no name.
plain = {name.removeprefix("module."): tensor for name, tensor in weights.items()}
parameter = torch.nn.Parameter(torch.ones(3))
parameter.grad = torch.ones(3)
adam = torch.optim.AdamW([parameter])
adam.step()


def behind(prefix):
    return {f"{prefix}{name}": tensor for name, tensor in plain.items()}


torch.save(
    {"epoch": 3, "model_state_dict": behind("_orig_mod."), "optimizer_state_dict": adam.state_dict(), "loss": torch.tensor(0.5)},
    "trainer.pt",
)
lightning = {"state_dict": behind("model.clip."), "optimizer_states": [adam.state_dict()], "lr_schedulers": []}
torch.save(lightning, "lightning.ckpt")
torch.save({"model": plain, "ema": {f"module.{name}": tensor.clone() for name, tensor in plain.items()}}, "two_models.pt")
torch.save({"model": behind("clip.") | {"criterion.weight": torch.ones(2)}, "optimizer": adam.state_dict()}, "criterion.pt")
