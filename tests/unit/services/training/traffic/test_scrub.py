"""Personal data in questions and passages. The network is blocked: what finds it looks nothing up."""

import json

import pytest
from pydantic import JsonValue

from services.training.traffic.scrub import Scrubbed, Scrubber, texts_in

IBAN = "DE89 3704 0044 0532 0130 00"
QUESTION = "Did ann.lee@corp.local or +49 30 901820 call about card 4111 1111 1111 1111?"
PASSAGE = f"Ann (ann.lee@corp.local, tel. (212) 555-0143) paid from {IBAN}; the host was 192.168.4.17, built in 2004."


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber()


def test_what_is_personal_goes_and_what_is_not_stays(scrubber: Scrubber) -> None:
    record = scrubber.record([QUESTION, PASSAGE])
    assert record.text(QUESTION) == "Did <EMAIL_1> or <PHONE_1> call about card <CARD_1>?"
    assert (
        record.text(PASSAGE)
        == "Ann (<EMAIL_1>, tel. <PHONE_2>) paid from <IBAN_1>; the host was <IP_1>, built in 2004."
    )
    for plain in (
        "The tower, 336 metres tall, was opened on 14 December 2004 and cost 400 million euros.",
        "Flight 1549 took off at 15:24:56; section 3.1.4, page 12 of 340, order 20071123.",
        "",
    ):
        assert scrubber.find(plain) == []


def test_what_is_found_in_one_text_is_replaced_in_all(scrubber: Scrubber) -> None:
    record = Scrubbed({"4711": "<PHONE_1>", "4711-12": "<PHONE_2>"})
    assert record.text("x4711 4711, 4711-12. 47110") == "x4711 <PHONE_1>, <PHONE_2>. 47110"
    assert record.json({"4711": ["4711", 4711, 47110, None, {"a": "4711"}]}) == {
        "<PHONE_1>": ["<PHONE_1>", "<PHONE_1>", 47110, None, {"a": "<PHONE_1>"}]
    }
    assert list(texts_in({"a": ["b", {"c": "d"}, 1, 2.5, 3.0, True, None]})) == ["a", "b", "c", "d", "1", "2.5", "3"]


def test_numbers_and_keys_of_structured_values_are_scrubbed_at_every_depth(scrubber: Scrubber) -> None:
    value: JsonValue = {
        "call": [{"tel": 2125550143, "card": 4111111111111111.0}, [[4111111111111111]]],
        IBAN: {"(212) 555-0143": [True, None]},
        "metres": [336, -0.5, 20071123, 1e308, 12345678901234567890],
    }
    record = scrubber.record(texts_in(value))
    assert record.json(value) == {
        "call": [{"tel": "<PHONE_1>", "card": "<CARD_1>"}, [["<CARD_1>"]]],
        "<IBAN_1>": {"<PHONE_2>": [True, None]},
        "metres": [336, -0.5, 20071123, 1e308, 12345678901234567890],
    }
    assert json.loads(json.dumps(record.json(value))) == record.json(value)


def test_what_is_found_inside_of_a_word_is_replaced_there(scrubber: Scrubber) -> None:
    for text in ("call _+49 30 901820_ now", "电话+49 30 901820。"):
        assert "901820" in text
        assert "901820" not in scrubber.record([text]).text(text)


def test_spans_stay_on_their_words() -> None:
    record = Scrubbed({"ann@a.org": "<EMAIL_1>", "1.1.1.1": "<IP_1>"})
    text = "ask ann@a.org of 1.1.1.1 now"
    words = ["ask", "ann", "a.org", "of", "1.1.1.1", "now"]
    spans = [(text.index(word), text.index(word) + len(word)) for word in words]
    spans[2] = (8, 13)
    moved, places = record.with_spans(text, spans)
    assert [moved[start:end] for start, end in places] == ["ask", "<EMAIL_1>", "<EMAIL_1>", "of", "<IP_1>", "now"]
    assert record.with_spans("nothing here", [(0, 7)]) == ("nothing here", [(0, 7)])


def test_names_need_a_model_and_the_output_says_so(scrubber: Scrubber) -> None:
    assert scrubber.names_model is None, "the tests' environment has none"
    assert "Names of people are not" in scrubber.what
