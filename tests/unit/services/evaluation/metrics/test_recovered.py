from services.evaluation.metrics.recovered import Recovered, recovered_terms

ASKED = "What do they eat in winter?"
REFERENCE = "What do guinea pigs eat in winter?"


def test_the_terms_that_a_rewrite_adds_are_compared_with_those_that_a_person_adds() -> None:
    assert recovered_terms(ASKED, REFERENCE, REFERENCE) == Recovered(1.0, 1.0, 1.0)
    assert recovered_terms(ASKED, "What does a pig eat in winter?", REFERENCE) == Recovered(1.0, 0.5, 2 / 3)
    assert recovered_terms(ASKED, f"{ASKED} guinea pigs wild cage", REFERENCE) == Recovered(0.5, 1.0, 2 / 3)


def test_what_is_of_nothing_is_none() -> None:
    assert recovered_terms(ASKED, ASKED, REFERENCE) == Recovered(None, 0.0, 0.0)
    assert recovered_terms(ASKED, f"{ASKED} cage", ASKED) == Recovered(0.0, None, None)
    assert recovered_terms(ASKED, ASKED, ASKED) == Recovered(None, None, None)
