"""Writes two small encoders, as the transformers library saves them, and what that library makes of some texts.

    python tests/golden/encoder.py        (transformers 4.44 with flax and jax, tokenizers, safetensors, numpy)

Weights are random. `encoder_bert` has the names of a model that came from TensorFlow with a head on it (`bert.`, `gamma`, `beta`), `encoder_roberta`
plain ones. The oracle is transformers' own FlaxBertModel and FlaxRobertaModel, which share no code with candle.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, FlaxBertModel, FlaxRobertaModel, RobertaConfig

HERE = Path(__file__).resolve().parent
TEXTS = [
    "the river runs to the sea",
    "stars",
    "A bridge over the river, and stars over the bridge!",
    "unknown zebras",
    "",
    "the sea the sea the sea the sea the sea the sea the sea the sea the sea the sea the sea the sea the sea the sea",
]
LAYERS, WIDTH = 3, 16
RESCALED = [(0, 0.5), (1, 8.0), (2, 3.0), (3, 4.0)]


def word_pieces():
    words = "[PAD] [UNK] [CLS] [SEP] the river runs to sea star ##s a bridge over and un ##know ##n , !".split()
    made = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    # As a library of sentence encoders leaves it in the file: batches are not to be padded by it.
    made.enable_padding(length=20, pad_id=0, pad_token="[PAD]")
    return made


def byte_pairs():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = sorted(set("".join(TEXTS).replace(" ", "Ġ")))
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=70, special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
                                                        initial_alphabet=letters, show_progress=False))
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return made


def weights(random, config):
    """Under the names of PyTorch, outputs x inputs."""
    draw = lambda *shape: (random.standard_normal(shape) * 0.4).astype(np.float32)
    tensors = {}

    def linear(name, outputs, inputs):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = draw(outputs, inputs), draw(outputs)

    def norm(name):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = 1 + draw(WIDTH) / 2, draw(WIDTH)

    for name, rows in (("word", config.vocab_size), ("position", config.max_position_embeddings), ("token_type", config.type_vocab_size)):
        tensors[f"embeddings.{name}_embeddings.weight"] = draw(rows, WIDTH)
    norm("embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            linear(f"{at}.{name}", WIDTH, WIDTH)
        norm(f"{at}.attention.output.LayerNorm")
        linear(f"{at}.intermediate.dense", config.intermediate_size, WIDTH)
        linear(f"{at}.output.dense", WIDTH, config.intermediate_size)
        norm(f"{at}.output.LayerNorm")
    return tensors


def encode(model, config, tensors, tokenizer, most):
    """Mean and first vectors of the last layer, text by text: no padding."""
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        pooler = {"pooler.dense.weight": np.zeros((WIDTH, WIDTH), np.float32), "pooler.dense.bias": np.zeros(WIDTH, np.float32)}
        save_file(tensors | pooler, f"{folder}/model.safetensors", {"format": "pt"})
        loaded = model.from_pretrained(folder)
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    hidden = [np.asarray(loaded(np.array([tokenizer.encode(text).ids])).last_hidden_state[0], np.float64) for text in TEXTS]
    return {"mean": [h.mean(0).tolist() for h in hidden], "cls": [h[0].tolist() for h in hidden]}


def rescaled(tensors, layer, alpha):
    name = "embeddings.LayerNorm" if layer == 0 else f"encoder.layer.{layer - 1}.output.LayerNorm"
    return tensors | {f"{name}.{of}": tensors[f"{name}.{of}"] * np.float32(alpha) for of in ("weight", "bias")}


def main():
    random = np.random.default_rng(9)
    shape = dict(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=24)
    pieces, pairs = word_pieces(), byte_pairs()
    bert = BertConfig(vocab_size=pieces.get_vocab_size(), max_position_embeddings=24, **shape)
    roberta = RobertaConfig(vocab_size=pairs.get_vocab_size(), max_position_embeddings=26, type_vocab_size=1, layer_norm_eps=1e-5,
                            pad_token_id=1, bos_token_id=0, eos_token_id=2, **shape)
    expected = {"texts": TEXTS, "rescaled": RESCALED}
    for name, model, config, tokenizer in (("bert", FlaxBertModel, bert, pieces), ("roberta", FlaxRobertaModel, roberta, pairs)):
        folder = HERE / f"encoder_{name}"
        folder.mkdir(exist_ok=True)
        tensors = weights(random, config)
        (folder / "config.json").write_text(json.dumps(config.to_diff_dict() | {"model_type": name}, indent=1, sort_keys=True) + "\n")
        tokenizer.save(str(folder / "tokenizer.json"))
        saved = tensors
        if name == "bert":
            old = lambda key: key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            saved = {f"bert.{old(key)}": tensor for key, tensor in tensors.items()} | {"cls.predictions.bias": np.zeros(20, np.float32)}
        save_file(saved, folder / "model.safetensors", {"format": "pt"})
        (folder / "model.safetensors").chmod(0o644)
        expected[name] = {"unscaled": encode(model, config, tensors, tokenizer, 24),
                          "rescaled": [encode(model, config, rescaled(tensors, *by), tokenizer, 24) for by in RESCALED]}
    (HERE / "encoder.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
