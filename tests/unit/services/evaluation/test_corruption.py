import pytest

from services.evaluation.corruption import list_names, negate, swap_name, swap_number

SENTENCE = "In 1978, Ada Lovelace's house in London was sold for 1,250 pounds [2]."


@pytest.mark.parametrize("seed", range(8))
def test_one_number_changes_and_keeps_its_form(seed: int) -> None:
    variant = swap_number(SENTENCE, seed)
    assert variant is not None
    assert variant != SENTENCE
    assert variant.endswith(" pounds [2].")  # a marker is no number
    words = [(old, new) for old, new in zip(SENTENCE.split(), variant.split(), strict=True) if old != new]
    assert len(words) == 1
    old, new = words[0]
    assert len(old) == len(new)
    assert old in {"1978,", "1,250"}


@pytest.mark.parametrize(
    ("text", "changed"),
    [("It opened in May.", "May"), ("It has three doors.", "three"), ("He was the third king.", "third")],
)
def test_months_and_number_words_are_numbers(text: str, changed: str) -> None:
    variant = swap_number(text, 1)
    assert variant is not None
    assert changed not in variant
    assert len(variant.split()) == len(text.split())


def test_names_are_runs_of_capitals_but_not_what_a_sentence_opens_with() -> None:
    assert list_names([SENTENCE]) == ["Ada Lovelace", "London"]
    text = "The Bank of England is old. Water boils in Émile's house in May. He met Émile."
    assert list_names([text]) == ["Bank of England", "Émile"]


@pytest.mark.parametrize("seed", range(6))
def test_a_name_is_replaced_by_one_that_the_text_lacks_of_as_many_words(seed: int) -> None:
    variant = swap_name(SENTENCE, seed, ["Paris", "Grace Hopper", "London Bridge", "Italian"])
    assert variant in {SENTENCE.replace("Ada Lovelace", "Grace Hopper"), SENTENCE.replace("London", "Paris")}


def test_a_word_of_nationality_takes_the_place_of_one() -> None:
    assert swap_name("He was an Italian painter.", 1, ["Paris", "Dutch", "Spanish"]) in {
        "He was an Dutch painter.",
        "He was an Spanish painter.",
    }
    assert swap_name("He was an Italian painter.", 1, ["Paris"]) is None


@pytest.mark.parametrize(
    ("text", "opposite"),
    [
        ("The house was sold.", "The house was not sold."),
        ("The house was not sold.", "The house was sold."),
        ("They didn't sell it.", "They did sell it."),
        ("He cannot swim.", "He can swim."),
        ("The city has been rebuilt.", "The city has not been rebuilt."),
        ("Paris exports more wine.", "Paris exports less wine."),
    ],
)
def test_the_opposite(text: str, opposite: str) -> None:
    assert negate(text, 1) == opposite


def test_the_same_seed_gives_the_same_variant_and_a_bare_text_none() -> None:
    assert swap_number(SENTENCE, "a") == swap_number(SENTENCE, "a")
    assert len({swap_number(SENTENCE, seed) for seed in range(10)}) > 3
    for text in ("", "So it goes."):
        assert swap_number(text, 1) is swap_name(text, 1, ["Paris"]) is negate(text, 1) is None
    assert swap_name(SENTENCE, 1, []) is None
