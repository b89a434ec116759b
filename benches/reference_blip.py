"""One measurement for compare.py: a piece of work by a BLIP of Hugging Face's transformers.

    reference_blip.py WORK MODEL BATCH TOKENS REPEATS THREADS IMAGE_SIZE

WORK is encode_image, match, match_shared, caption, answer or train_step; match repeats the picture for each text, as everybody does,
match_shared hands the picture's tokens to the text encoder. IMAGE_SIZE 0 is the model's own. Prints the median seconds
and the most memory the process ever held as JSON; of train_step also what every framework must hold, and what Python and
PyTorch held before.
"""

import logging
import sys

import torch
from blip_pretraining import pretraining_step
from measure import measure, peak_mib
from transformers import BlipConfig, BlipForConditionalGeneration, BlipForImageTextRetrieval, BlipForQuestionAnswering

SEARCH = {"num_beams": 3, "do_sample": False}
CAPTION, ANSWER = 20, 10
LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}


def main():
    work, model = sys.argv[1:3]
    batch, tokens, repeats, threads, image_size = map(int, sys.argv[3:])
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    # The file of the large model says as much; random weights need a spread that keeps the numbers ordinary.
    vision = {"initializer_range": 0.02, **(LARGE if model == "BLIP-large" else {})}
    vision.update({"image_size": image_size} if image_size else {})
    config = BlipConfig(text_config={"num_attention_heads": 12}, vision_config=vision)
    if work == "train_step":
        runtime = peak_mib()
        step, held = pretraining_step(config, pictures(config, batch), tokens)
        return measure(step, repeats, held_mib=held, runtime_mib=runtime)
    works = {"encode_image": look, "match": match, "match_shared": match_shared, "caption": caption, "answer": answer}
    step = torch.inference_mode()(works[work](config, batch, tokens))
    measure(step, repeats)


def pictures(config, batch):
    size = config.vision_config.image_size
    return torch.randn(batch, 3, size, size)


def texts(batch, tokens):
    return {
        "input_ids": torch.randint(1000, 30000, (batch, tokens)),
        "attention_mask": torch.ones(batch, tokens, dtype=torch.long),
    }


def look(config, batch, _):
    model, images = BlipForConditionalGeneration(config).eval(), pictures(config, batch)
    return lambda: model.vision_model(images)


def match(config, batch, tokens):
    model, image, words = BlipForImageTextRetrieval(config).eval(), pictures(config, 1), texts(batch, tokens)
    return lambda: model(pixel_values=image.expand(batch, -1, -1, -1).contiguous(), **words)


def match_shared(config, batch, tokens):
    model, image, words = BlipForImageTextRetrieval(config).eval(), pictures(config, 1), texts(batch, tokens)

    def step():
        seen = model.vision_model(image)[0].expand(batch, -1, -1)
        model.itm_head(model.text_encoder(encoder_hidden_states=seen, **words)[0][:, 0])

    return step


def caption(config, batch, _):
    model, images = BlipForConditionalGeneration(config).eval(), pictures(config, batch)
    return lambda: model.generate(pixel_values=images, min_length=CAPTION, max_length=CAPTION, **SEARCH)


def answer(config, batch, tokens):
    model, images, words = BlipForQuestionAnswering(config).eval(), pictures(config, batch), texts(batch, tokens)
    return lambda: model.generate(pixel_values=images, min_length=ANSWER, max_length=ANSWER, **SEARCH, **words)


if __name__ == "__main__":
    main()
