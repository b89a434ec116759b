"""One measurement for compare.py: a folder of pictures, from files to embeddings.

    reference_folder.py save MODEL FOLDER
    reference_folder.py theirs FOLDER PHOTOS ROWS.npy THREADS
    reference_folder.py ours CLIPWRIGHT FOLDER PHOTOS ROWS.npy THREADS [OPTIONS]

`save` writes open_clip's model with random weights as a folder that both read. `theirs` embeds by open_clip, with
Pillow in two workers of a DataLoader, and writes its rows; `ours` embeds by this project and compares its rows with
them. Both print their seconds and the most memory that was held as JSON.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy
from measure import peak_mib

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


def main():
    work, *words = sys.argv[1:]
    print(json.dumps({"save": save, "theirs": theirs, "ours": ours}[work](*words)))


def save(name, folder):
    import open_clip
    import reference
    import safetensors.torch
    import torch

    reference.quiet()
    torch.manual_seed(0)
    model = reference.create(name)
    os.makedirs(folder)
    config = open_clip.get_model_config(reference.full_name(name))
    visual = model.visual.preprocess_cfg
    preprocess = {key: visual[key] for key in ("mean", "std")}
    with open(os.path.join(folder, CONFIG), "w") as file:
        json.dump({"model_cfg": config, "preprocess_cfg": preprocess}, file)
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    safetensors.torch.save_file(weights, os.path.join(folder, WEIGHTS))
    return {}


def photos(folder):
    """Returns all files below the folder, in the order of their paths."""
    return sorted(os.path.join(path, name) for path, _, names in os.walk(folder) for name in names)


def theirs(folder, pictures, rows, threads):
    import open_clip
    import reference
    import torch
    from PIL import Image

    reference.quiet()
    torch.set_num_threads(int(threads))
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()

    class Pictures(torch.utils.data.Dataset):
        def __init__(self):
            self.paths = photos(pictures)

        def __len__(self):
            return len(self.paths)

        def __getitem__(self, i):
            return preprocess(Image.open(self.paths[i]))

    start = time.perf_counter()
    with torch.inference_mode():
        batches = torch.utils.data.DataLoader(Pictures(), batch_size=32, num_workers=2)
        features = torch.cat([model.encode_image(images, normalize=True) for images in batches])
    seconds = time.perf_counter() - start
    numpy.save(rows, features.numpy())
    return {"seconds": seconds, "mib": peak_mib()}


def ours(clipwright, folder, pictures, rows, threads, *options):
    with tempfile.TemporaryDirectory() as target:
        output = os.path.join(target, "rows.npy")
        command = [clipwright, "embed", "--model", folder, *options, "--output", output, "--", *photos(pictures)]
        start = time.perf_counter()
        subprocess.run(command, check=True, env={**os.environ, "RAYON_NUM_THREADS": threads}, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        cosines = (numpy.load(output) * numpy.load(rows)).sum(axis=1)
    kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {"seconds": seconds, "mib": kib / 1024, "cosines": [float(cosines.mean()), float(cosines.min())]}


if __name__ == "__main__":
    main()
