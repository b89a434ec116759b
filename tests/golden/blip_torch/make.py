"""Writes captioner.pth: a tiny BLIP captioner as Salesforce's training saves it, with the state of an optimizer, the
options and the number of the epoch beside it. The format of torch.save is written by hand, without PyTorch."""

import io, pickle, struct, sys, types, zipfile
from collections import OrderedDict

torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
sys.modules.update({"torch": torch, "torch._utils": utils})
FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
torch.FloatStorage = FloatStorage


def _rebuild_tensor_v2():
    pass


_rebuild_tensor_v2.__module__ = "torch._utils"
utils._rebuild_tensor_v2 = _rebuild_tensor_v2
storages = []


class Storage:
    def __init__(self, values):
        self.key, self.size = str(len(storages)), len(values)
        storages.append(struct.pack(f"<{len(values)}f", *values))


class Tensor:
    def __init__(self, shape, storage=None):
        size = 1
        for n in shape:
            size *= n
        self.shape = tuple(shape)
        self.storage = storage or Storage([((i * 7 + len(storages) * 3) % 17 - 8) / 8 for i in range(size)])

    def __reduce__(self):
        stride, step = [], 1
        for n in reversed(self.shape):
            stride.insert(0, step)
            step *= n
        return _rebuild_tensor_v2, (self.storage, 0, self.shape, tuple(stride), False, OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return "storage", FloatStorage, value.key, "cpu", value.size


D, MLP, WORDS, PATCH = 8, 4, 1000, 2
model = OrderedDict()


def add(name, *shape):
    model[name] = Tensor(shape)


def linear(name, outputs, inputs):
    add(f"{name}.weight", outputs, inputs)
    add(f"{name}.bias", outputs)


def norm(name):
    add(f"{name}.weight", D)
    add(f"{name}.bias", D)


add("visual_encoder.cls_token", 1, 1, D)
add("visual_encoder.pos_embed", 1, 5, D)
add("visual_encoder.patch_embed.proj.weight", D, 3, PATCH, PATCH)
add("visual_encoder.patch_embed.proj.bias", D)
block = "visual_encoder.blocks.0."
norm(block + "norm1")
linear(block + "attn.qkv", 3 * D, D)
linear(block + "attn.proj", D, D)
norm(block + "norm2")
linear(block + "mlp.fc1", MLP, D)
linear(block + "mlp.fc2", D, MLP)
norm("visual_encoder.norm")
add("text_decoder.bert.embeddings.word_embeddings.weight", WORDS, D)
add("text_decoder.bert.embeddings.position_embeddings.weight", 3, D)
norm("text_decoder.bert.embeddings.LayerNorm")
layer = "text_decoder.bert.encoder.layer.0."
for kind in "attention", "crossattention":
    for part in "query", "key", "value":
        linear(f"{layer}{kind}.self.{part}", D, D)
    linear(f"{layer}{kind}.output.dense", D, D)
    norm(f"{layer}{kind}.output.LayerNorm")
linear(layer + "intermediate.dense", MLP, D)
linear(layer + "output.dense", D, MLP)
norm(layer + "output.LayerNorm")
add("text_decoder.cls.predictions.bias", WORDS)
linear("text_decoder.cls.predictions.transform.dense", D, D)
norm("text_decoder.cls.predictions.transform.LayerNorm")
# Tied tensors share what is stored, as PyTorch saves them.
tied = {"decoder.weight": "bert.embeddings.word_embeddings.weight", "decoder.bias": "cls.predictions.bias"}
for name, of in tied.items():
    first = model[f"text_decoder.{of}"]
    model[f"text_decoder.cls.predictions.{name}"] = Tensor(first.shape, first.storage)

optimizer = {"state": {0: {"step": 3, "exp_avg": Tensor((2, 2))}}, "param_groups": [{"lr": 1e-5, "params": [0]}]}
saved = {"model": model, "optimizer": optimizer, "config": {"prompt": "a picture of ", "image_size": 4}, "epoch": 4}
data = io.BytesIO()
Pickler(data, protocol=2).dump(saved)
with zipfile.ZipFile("captioner.pth", "w", zipfile.ZIP_STORED) as archive:
    def write(name, content):
        archive.writestr(zipfile.ZipInfo(f"captioner/{name}", (1980, 1, 1, 0, 0, 0)), content)
    write("data.pkl", data.getvalue())
    write("byteorder", "little")
    for key, content in enumerate(storages):
        write(f"data/{key}", content)
    write("version", "3\n")
