from __future__ import annotations

from assistant import prompt
from tests.making import parsed

_, PASSAGES = parsed()


def streamed(reply: str, size: int = 3) -> list[tuple[tuple[int, ...], str, bool]]:
    return list(prompt.drafts(reply[i : i + size] for i in range(0, len(reply), size)))


def test_numbers_come_first_and_sentences_one_by_one() -> None:
    reply = "[2][3] Hulls float. Sails catch the wind, e.g. on a boat."
    expected = [
        ((2, 3), "", False),
        ((2, 3), "Hulls float.", False),
        ((2, 3), "Sails catch the wind, e.g. on a boat.", False),
    ]
    for size in (1, 2, 3, 7, 100):
        assert streamed(reply, size) == expected


def test_none_and_an_empty_reply_have_no_sentences() -> None:
    assert streamed("[0]") == [((0,), "", False)]
    assert streamed("") == [((), "", False)]


def test_a_reply_without_numbers_and_with_items() -> None:
    assert streamed("The parts are:\n- Luff\n- Leech [2]") == [
        ((), "", False), ((), "The parts are:", False), ((), "Luff", True), ((), "Leech", True),
    ]  # fmt: skip


def test_sentences_are_given_as_soon_as_they_are_whole() -> None:
    seen: list[str] = []

    def pieces() -> object:
        for piece in ("[1] One is first.", " Two", " is second."):
            seen.append(piece)
            yield piece

    stream = prompt.drafts(pieces())  # type: ignore[arg-type]
    assert next(stream)[0] == (1,)
    assert next(stream)[1] == "One is first."
    assert seen == ["[1] One is first.", " Two"]


def test_context_numbers_passages_under_their_headings() -> None:
    text = prompt.context(PASSAGES[:3])
    assert text.splitlines()[:3] == [
        "# Boats › Hulls",
        "[1] A hull is the body of a boat that floats in the water.",
        "[2] Hulls of 40 feet need two crew members.",
    ]


def test_the_stable_text_comes_first_and_the_question_last() -> None:
    first, last = prompt.messages("How  long\nis it?", PASSAGES[:1], trained=True)
    assert first.content == prompt.READER
    assert str(last.content).endswith("\n\nQuestion: How long is it?")


def test_a_long_passage_is_cut_in_the_prompt() -> None:
    _, passages = parsed("# A\n\n" + "word " * 300 + "end.\n")
    assert len(prompt.context(passages).split()) < prompt.MOST_WORDS + 10
