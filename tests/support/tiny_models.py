"""Tiny random models in the forms that people publish: what sentence-transformers loads from a folder."""

import json
from pathlib import Path

from pipelines.core.encoders.source import builtin_folder

DIM = 32


def make_bert(folder: Path, *, labels: int | None = None, seed: int = 0) -> Path:
    """A BERT of two small layers with the built-in model's tokenizer; with labels, a classifier of pairs."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

    torch.manual_seed(seed)
    config = BertConfig(
        hidden_size=DIM,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        num_labels=labels or 2,
        initializer_range=0.2,
    )
    model = BertForSequenceClassification(config) if labels else BertModel(config)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(builtin_folder(), local_files_only=True).save_pretrained(folder)
    return folder


def as_sentence_model(folder: Path, pooling: dict[str, object], *more: str) -> Path:
    """Adds the files that make a transformers folder a sentence-transformers one."""
    kinds = ("Transformer", "Pooling", *more)
    paths = ["" if kind == "Transformer" else f"{place}_{kind}" for place, kind in enumerate(kinds)]
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))
    for path in paths[1:]:
        (folder / path).mkdir()
    (folder / paths[1] / "config.json").write_text(json.dumps({"word_embedding_dimension": DIM, **pooling}))
    return folder
