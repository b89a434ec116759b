"""A step of BLIP's pre-training in PyTorch, from the modules of Hugging Face's transformers.

The order of things is that of the original, https://github.com/salesforce/BLIP/blob/main/models/blip_pretrain.py.
"""

import copy

import torch
from torch import nn
from torch.nn.functional import cross_entropy, log_softmax, normalize, softmax
from transformers import BlipTextLMHeadModel, BlipTextModel, BlipVisionModel

QUEUE, ALPHA, MOMENTUM, SMOOTHING, DROPOUT = 57600, 0.4, 0.995, 0.1, 0.1
# The original pads and cuts every text to this many tokens.
LENGTH = 30
PAD, CLS, SEP, DECODE, ENCODE = 0, 101, 102, 30522, 30523


def pretraining_step(config, images, tokens):
    """Returns a step on these pictures, and the MiB that it holds at the least: weights, gradients, both moments,
    the momentum copy and the queues."""
    texts = config.text_config
    texts.hidden_dropout_prob = texts.attention_probs_dropout_prob = DROPOUT
    texts.label_smoothing = SMOOTHING
    model = Pretraining(config).train()
    ids, mask = captions(len(images), tokens)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.05)

    def step():
        optimizer.zero_grad()
        model(images, ids, mask).backward()
        optimizer.step()

    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    followed = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    return step, 4 * (4 * trained + followed + model.image_queue.numel() + model.text_queue.numel()) / (1 << 20)


def captions(batch, tokens):
    """Returns start, words, end and padding, and where there is none of it."""
    ids, mask = torch.full((batch, LENGTH), PAD), torch.zeros(batch, LENGTH, dtype=torch.long)
    ids[:, :tokens], mask[:, :tokens] = torch.randint(1000, DECODE, (batch, tokens)), 1
    ids[:, 0], ids[:, tokens - 1] = CLS, SEP
    return ids, mask


class Pretraining(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, texts = config.image_text_hidden_size, config.text_config
        self.vision = BlipVisionModel(config.vision_config)
        self.vision_proj = nn.Linear(config.vision_config.hidden_size, width)
        self.encoder = BlipTextModel(texts, add_pooling_layer=False)
        self.text_proj = nn.Linear(texts.hidden_size, width)
        self.itm_head = nn.Linear(texts.hidden_size, 2)
        self.decoder = BlipTextLMHeadModel(texts)
        self.temp = nn.Parameter(torch.tensor(0.07))
        followed = nn.ModuleList([self.vision, self.vision_proj, self.encoder, self.text_proj])
        self.followed = list(followed.parameters())
        self.momentum = copy.deepcopy(followed).requires_grad_(False)
        self.share_encoder()
        self.register_buffer("image_queue", normalize(torch.randn(width, QUEUE), dim=0))
        self.register_buffer("text_queue", normalize(torch.randn(width, QUEUE), dim=0))
        self.next = 0

    def share_encoder(self):
        """Gives the decoder all weights of the encoder but those of self-attention."""
        for name, weight in self.encoder.named_parameters():
            if ".attention." not in name:
                module, _, leaf = name.rpartition(".")
                setattr(self.decoder.bert.get_submodule(module), leaf, weight)
        self.decoder.cls.predictions.decoder.weight = self.encoder.embeddings.word_embeddings.weight

    def forward(self, images, ids, mask):
        with torch.no_grad():
            self.temp.clamp_(0.001, 0.5)
        seen = self.vision(images).last_hidden_state
        features = embed(seen, self.vision_proj), embed(self.read(ids, mask), self.text_proj)
        followers = self.follow(images, ids, mask)
        itc, scores = self.contrast(features, followers)
        self.enqueue(*followers)
        return itc + self.match(seen, ids, mask, scores) + self.write(seen, ids, mask)

    def read(self, ids, mask, seen=None):
        return self.encoder(ids, attention_mask=mask, encoder_hidden_states=seen).last_hidden_state

    @torch.no_grad()
    def follow(self, images, ids, mask):
        """Moves the momentum copy, and returns its features."""
        for copied, weight in zip(self.momentum.parameters(), self.followed):
            copied.lerp_(weight, 1 - MOMENTUM)
        vision, vision_proj, encoder, text_proj = self.momentum
        images = embed(vision(images).last_hidden_state, vision_proj)
        return images, embed(encoder(ids, attention_mask=mask).last_hidden_state, text_proj)

    def contrast(self, features, followers):
        """Returns ITC, and the scores of the batch's own texts for pictures and pictures for texts."""
        n, losses, scores = len(features[0]), [], []
        queues = self.text_queue, self.image_queue
        for rows, own, others, queue in zip(features, followers, reversed(followers), queues):
            columns = torch.cat([others.t(), queue], dim=1)
            with torch.no_grad():
                hard = torch.zeros(n, columns.shape[1]).fill_diagonal_(1)
                targets = ALPHA * softmax(own @ columns / self.temp, dim=1) + (1 - ALPHA) * hard
            sims = rows @ columns / self.temp
            losses.append(-(log_softmax(sims, dim=1) * targets).sum(dim=1).mean())
            scores.append(sims[:, :n].detach())
        return sum(losses) / 2, scores

    @torch.no_grad()
    def enqueue(self, images, texts):
        columns = slice(self.next, self.next + len(images))
        self.image_queue[:, columns], self.text_queue[:, columns] = images.t(), texts.t()
        self.next = (self.next + len(images)) % QUEUE

    def match(self, seen, ids, mask, scores):
        """Returns ITM of all pairs, of each text with a hard picture and each picture with a hard text."""
        n, ids = len(seen), begin_with(ids, ENCODE)
        weights = [(softmax(rows, dim=1) + 1e-4).fill_diagonal_(0) for rows in scores]
        texts, images = (torch.multinomial(rows, 1).squeeze(1) for rows in weights)
        positive = self.read(ids, mask, seen)[:, 0]
        negative_ids, negative_mask = torch.cat([ids, ids[texts]]), torch.cat([mask, mask[texts]])
        negative = self.read(negative_ids, negative_mask, torch.cat([seen[images], seen]))[:, 0]
        labels = torch.cat([torch.ones(n, dtype=torch.long), torch.zeros(2 * n, dtype=torch.long)])
        return cross_entropy(self.itm_head(torch.cat([positive, negative])), labels)

    def write(self, seen, ids, mask):
        ids = begin_with(ids, DECODE)
        labels = ids.masked_fill(mask == 0, -100)
        return self.decoder(ids, attention_mask=mask, encoder_hidden_states=seen, labels=labels).loss


def embed(rows, proj):
    return normalize(proj(rows[:, 0]), dim=-1)


def begin_with(ids, first):
    ids = ids.clone()
    ids[:, 0] = first
    return ids
