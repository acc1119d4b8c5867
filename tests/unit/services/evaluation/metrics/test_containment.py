import pytest

from services.evaluation.metrics import contains_answer


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("It opened in 1889.", ["1889"]),
        ("Designed by the U.S. Army.", ["US Army", "U.S. Army"]),
        ("The Montgomery  County\nborder.", ["montgomery county"]),
        ("She sang 'The Wall'.", ["a wall"]),
        ("Blaise Pascal did.", ["nobody", "Pascal"]),
    ],
)
def test_any_gold_answer_counts_case_punctuation_and_articles_aside(text: str, answers: list[str]) -> None:
    assert contains_answer(text, answers)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("It opened in 18890.", ["1889"]),
        ("The county of Montgomery.", ["Montgomery County"]),
        ("Anything.", []),
        ("Anything.", ["", "the", "?"]),
        ("", ["1889"]),
    ],
)
def test_parts_of_words_other_orders_and_empty_answers_do_not(text: str, answers: list[str]) -> None:
    assert not contains_answer(text, answers)
