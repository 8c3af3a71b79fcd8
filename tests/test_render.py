from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from assistant import corpus
from assistant.records import Answer, Citation, Corpus, Hit, Sentence
from tests.making import TEXT, parsed
from ui import frame
from ui.exports import answer_markdown
from ui.render import thread_html, turn_html
from ui.source_view import card_body, document_html, inline_html
from ui.turns import View

EVIL = "<script>alert(1)</script>![x](http://a/b.png) [y](javascript:alert(1)) \"'><img src=x onerror=alert(1)>\u202e🦓"


class Tags(HTMLParser):
    """Collects what a browser would build: tags with attributes, and the text; fails on tags left open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open = "", list[str]()
        self.feed(html)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("input", "path", "option"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "option"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def cited(source: Corpus, quote: str, n: int = 1) -> Citation:
    start = source.documents[0].text.index(quote)
    return Citation(n, "Hulls", quote, start, start + len(quote), source.documents[0].name)


def answered(*sentences: Sentence, citations: tuple[Citation, ...] = ()) -> View:
    return View(7, "What is a hull?", Answer("What is a hull?", sentences, citations, complete=True), "complete")


def test_markers_are_buttons_that_lead_to_the_marked_characters() -> None:
    source, _ = parsed()
    quote = "A hull is the body of a boat that floats in the water."
    html = turn_html(answered(Sentence(quote, "quote", (1,)), citations=(cited(source, quote),)), source)
    built = Tags(html)
    marker = next(a for t, a in built.tags if t == "button" and a.get("class") == "marker")
    assert marker["data-n"] == "1" and marker["aria-label"] == "Source 1: Hulls"
    told = re.findall(rf'id="{marker["aria-describedby"]}" hidden>(.*?)</span>', html)
    assert [unescape(text) for text in told] == [quote]
    assert unescape(re.findall(r"<mark[^>]*>(.*?)</mark>", html)[0]) == quote
    assert "Hulls of 40 feet" in built.text


def test_items_are_a_list_and_sentences_a_paragraph() -> None:
    view = answered(
        Sentence("Sails:", "quote", ()), Sentence("Luff", "quote", (), item=True), Sentence("End.", "model", ())
    )
    tags = [t for t, _ in Tags(turn_html(view, None)).tags]
    assert [t for t in tags if t in ("p", "ul", "li")][:4] == ["p", "ul", "li", "p"]


def test_each_sentence_says_who_worded_it() -> None:
    built = Tags(turn_html(answered(Sentence("A.", "quote", ()), Sentence("B.", "model", ())), None))
    kinds = [a["class"] for t, a in built.tags if t == "span" and str(a.get("class")).startswith("said")]
    assert kinds == ["said quote", "said model"]
    assert "quotation" in built.text and "the model’s words" in built.text


def test_a_refusal_has_buttons_for_the_nearest_entries_and_no_source() -> None:
    answer = Answer("Who?", abstained=True, reason="Not covered.", suggestions=("Hulls", EVIL), complete=True)
    built = Tags(turn_html(View(1, "Who?", answer, "complete"), None))
    asked = [a["data-ask"] for t, a in built.tags if t == "button" and "data-ask" in a]
    assert asked[0] == "What does the glossary say about Hulls?" and len(asked) == 2
    assert not [a for _, a in built.tags if a.get("class") in ("marker", "sources")]


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (View(1, "q", state="waiting", place=3), "You are number 3 in the queue."),
        (View(1, "q", state="waiting", place=1), "You are next."),
        (View(1, "q", state="loading", message="reading", place=1), "Your question waits and comes first."),
        (View(1, "q", state="loading", message="reading", place=4), "waits as number 4 in the queue."),
        (View(1, "q", state="answering"), "Looking it up"),
        (View(1, "q", state="stopped"), "Stopped."),
        (View(1, "q", state="failed", message="no memory"), "This answer failed. no memory"),
    ],
)
def test_every_state_says_what_is_going_on(view: View, told: str) -> None:
    assert told in Tags(turn_html(view, None)).text


def test_what_was_found_is_named_before_anything_is_said() -> None:
    source, passages = parsed()
    hits = tuple(Hit(p, 1, 1, 1, 1) for p in passages[:3])
    assert "Reading 3 passages under Hulls" in Tags(turn_html(View(1, "q", Answer("q", hits=hits)), source)).text


def test_nothing_from_outside_becomes_markup() -> None:
    source = Corpus((corpus.parse(f"# {EVIL}\n\nA {EVIL} b.\n\n- **{EVIL}**: c\n", EVIL),), "d")
    text = source.documents[0].text
    at = text.index("A <")
    citations = (Citation(1, EVIL, text[at : at + 30], at, at + 30, EVIL), Citation(2, EVIL, EVIL, 0, 5, EVIL))
    view = View(
        1,
        EVIL,
        Answer(EVIL, (Sentence(EVIL, "model", (1, 2)),), citations),
        "failed",
        message=EVIL,
        comment=EVIL,
        vote=1,
    )
    for html in (thread_html([view], source, EVIL), document_html(source, EVIL), frame.notice_html(EVIL)):
        built = Tags(html)
        assert not {"script", "img", "a", "iframe"} & {t for t, _ in built.tags}
        assert not [name for _, attributes in built.tags for name in attributes if name.startswith("on")]
        assert "alert(1)" in built.text


def test_hidden_markdown_keeps_every_character() -> None:
    for text in ("**Luff**: the `edge` of [a](http://b) sail_x_y, Q4_K_M", "*a* _b_ **c*", "`<b>` & **<i>**"):
        assert Tags(inline_html(text)).text == text
        for first, last in ((0, 5), (3, len(text)), (2, 9)):
            html = inline_html(text, first, last)
            marked = "".join(re.findall(r"<mark>(.*?)</mark>", html))
            assert Tags(marked).text == text[first:last] and Tags(html).text == text


def test_a_block_of_the_document_is_the_source_verbatim() -> None:
    source, _ = parsed(TEXT + "\nAn emoji 🦓 and **bold** words.\n")
    html = document_html(source, "boats.md")
    blocks = re.findall(r'<p class="block[^"]*" data-start="(\d+)" data-end="(\d+)">(.*?)</p>', html)
    assert len(blocks) == 7
    for start, end, inner in blocks:
        assert Tags(inner).text == source.documents[0].text[int(start) : int(end)]


def test_the_contents_lead_to_every_section() -> None:
    source, _ = parsed()
    built = Tags(document_html(source, "boats.md"))
    assert {a["data-section"] for t, a in built.tags if t == "button"} <= {
        a["data-section"] for t, a in built.tags if t == "section"
    }
    assert all(name in built.text for name in ("Boats", "Hulls", "Sails", "Reefing"))
    with pytest.raises(KeyError):
        document_html(source, "other.md")


def test_a_passage_that_changed_since_says_so() -> None:
    source, _ = parsed()
    html, plain, path = card_body(Citation(1, "Hulls", "was here", 5, 13, "boats.md"), source)
    assert "was here" in html and "has changed since" in html and (plain, path) == ("was here", ())
    assert card_body(cited(source, "It protects the mast."), source)[2] == ("Boats", "Sails", "Reefing")


def test_a_quotation_is_told_without_its_marks_and_whole_where_it_crosses_emphasis() -> None:
    source, _ = parsed(TEXT + "\nThe **jib** and `the` boom [swing](http://b) across.\n")
    html, plain, _ = card_body(cited(source, "**jib** and `the` boom [swing](http://b) across."), source)
    assert plain == "jib and the boom swing across." and html.count("<mark>") > 3


def test_a_copied_answer_carries_its_citations() -> None:
    source, _ = parsed()
    view = answered(Sentence("It protects.", "model", (1,)), citations=(cited(source, "It protects the mast."),))
    assert view.answer is not None
    (copied,) = [a["data-markdown"] for _, a in Tags(turn_html(view, source)).tags if "data-markdown" in a]
    assert copied == answer_markdown(view.answer)
    assert copied.startswith("It protects. [1]\n\n> - [1] **Hulls**: “It protects the mast.” (boats.md, ")


def test_what_is_copied_shows_hostile_words_as_they_are_and_each_source_on_its_own() -> None:
    source, _ = parsed()
    citations = (cited(source, "It protects the mast."), cited(source, "A hull is the body", 2))
    view = answered(Sentence("![x](http://a) *b* <i>", "model", (1, 2)), citations=citations)
    refused = View(
        1, "q", Answer("q", abstained=True, reason="Not covered.", suggestions=("Hulls", "Sails")), "complete"
    )
    shown = [
        MarkdownIt().render(str(a["data-markdown"]))
        for each in (view, refused)
        for _, a in Tags(turn_html(each, source)).tags
        if "data-markdown" in a
    ]
    assert "<img" not in shown[0] and "<em>" not in shown[0] and "![x](http://a) *b* &lt;i&gt;" in shown[0]
    assert shown[0].count("<li>") == 2 and shown[0].count("<blockquote>") == 1
    assert "Hulls, Sails" in shown[1]


def test_examples_come_from_another_corpus_too() -> None:
    source, _ = parsed()
    kinds = [question for _, question in frame.examples(source)]
    assert "What is Hulls?" in kinds and len(kinds) <= 6
    assert len(frame.examples(None)) == 6 and frame.examples(None)[-1][0] == "Not in the glossary"
