"""Heads, with random adapters on the real encoder."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.encoders import Heads, Pair
from pipelines.core.encoders.heads import Head
from pipelines.core.settings import EncoderSettings, HeadSettings
from pipelines.core.types import Usage
from tests.support.tiny_head import make_head

TEXT = "The bridge was built in 1932. It crosses the harbour. Tax law is dull."
PAIR = Pair("When was the bridge built?", TEXT, "Sydney", ((0, 29), (30, 53), (54, 70)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_head(tmp_path_factory.mktemp("head"))


@pytest.fixture(scope="module")
def heads() -> Heads:
    return Heads(EncoderSettings(engine="torch", precision="float32"), HeadSettings())


@pytest.fixture(scope="module")
def head(heads: Heads, folder: Path) -> Head:
    swapped = heads.swap("evidence", folder)
    assert swapped is not None
    return swapped


def test_it_gives_logits_of_pairs_and_spans(head: Head) -> None:
    scores = head.score([PAIR, Pair("q", "no spans")])
    assert (scores.pairs.shape, scores.pairs.dtype) == ((2, 1), np.float32)
    assert [each.shape for each in scores.spans] == [(3, 1), (0, 1)]
    assert scores.usage.calls == 1
    assert scores.usage.tokens_in > 30


def test_company_does_not_change_a_score(head: Head) -> None:
    alone = head.score([PAIR])
    among = head.score([Pair("other", "words " * 400), PAIR, Pair("x", "")])
    np.testing.assert_allclose(among.pairs[1], alone.pairs[0], atol=1e-3)
    np.testing.assert_allclose(among.spans[1], alone.spans[0], atol=1e-3)


def test_the_adapter_counts_as_peft_has_it(head: Head, folder: Path) -> None:
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModel

    from pipelines.core.encoders.source import builtin_folder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = PeftModel.from_pretrained(AutoModel.from_pretrained(builtin_folder()), folder).eval()
    layers = load_file(folder / "head.safetensors")
    window = head._reader.windows([PAIR])[0]
    with torch.inference_mode():
        types = torch.tensor([[int(at >= window.second_at) for at in range(len(window.ids))]])
        states = model(input_ids=torch.tensor([window.ids]), token_type_ids=types).last_hidden_state[0]
    whole = torch.cat((states[0], states[window.second_at :].mean(dim=0)))
    scores = head.score([PAIR])
    np.testing.assert_allclose(scores.pairs[0], layers["pair.weight"] @ whole + layers["pair.bias"], atol=1e-3)
    for (span, start, end), row in zip(window.spans, scores.spans[0], strict=True):
        expected = layers["span.weight"] @ states[start:end].mean(dim=0) + layers["span.bias"]
        np.testing.assert_allclose(row, expected, atol=1e-3, err_msg=str(span))


def test_a_long_text_is_read_to_its_end(head: Head) -> None:
    text = f"{'Filler words go here. ' * 300}{TEXT}"
    spans = ((0, 21), (6600 + 0, 6600 + 29))
    scores = head.score([Pair("When was the bridge built?", text, "", spans)])
    assert np.isfinite(scores.spans[0]).all()
    assert scores.usage.tokens_in > 1200


def test_nothing_costs_nothing(head: Head) -> None:
    scores = head.score([])
    assert (scores.pairs.shape, scores.spans, scores.usage) == ((0, 1), (), Usage())


def test_a_span_that_the_tokenizer_drops_is_finite(head: Head) -> None:
    scores = head.score([Pair("q", "a \u200b b", "", ((2, 3),)), Pair("q", "", "", ((0, 0),))])
    assert all(np.isfinite(each).all() for each in scores.spans)
