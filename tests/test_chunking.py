from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from assistant import chunking, corpus
from assistant.chunking import topic
from assistant.records import Corpus, Passage


def read(*texts: str) -> Corpus:
    """Return a corpus of the files 0.md, 1.md, …."""
    return Corpus(tuple(corpus.parse(text, f"{n}.md") for n, text in enumerate(texts)), "digest")


def chunk(*texts: str) -> tuple[Passage, ...]:
    return chunking.chunk(read(*texts))


def quotes(*texts: str) -> list[str]:
    return [p.text for p in chunk(*texts)]


def check_offsets(text: str) -> tuple[Passage, ...]:
    """Hold what must be true of the passages of any text, and return them."""
    document = corpus.parse(text, "0.md")
    passages = chunking.chunk(Corpus((document,), "digest"))
    reached = 0
    for number, passage in enumerate(passages):
        assert passage.id == number
        assert passage.start >= reached, "passages stand in the order of the text and share no character"
        assert text[passage.start : passage.end] == passage.text
        assert passage.text.strip()
        reached = passage.end
    edges = [(s.start, s.end) for s in document.sections]
    assert all(before[1] == after[0] for before, after in zip(edges, edges[1:], strict=False))
    assert not edges or edges[-1][1] == len(text)
    for section in document.sections:
        assert all(section.start <= b.start and b.end <= section.end for b in section.blocks)
    return passages


# Documents made at random, of which each piece knows what becomes of its characters


@dataclass
class Maker:
    """Writes random Markdown; `silent` holds the spans that no passage may touch, `paths` the headings in force."""

    random: random.Random
    text: str = ""
    silent: list[tuple[int, int]] = field(default_factory=list)
    paths: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    headings: dict[int, str] = field(default_factory=dict)
    words: int = 0

    def quiet(self, text: str) -> None:
        self.silent.append((len(self.text), len(self.text) + len(text)))
        self.text += text

    def word(self) -> str:
        self.words += 1
        form = self.random.choice(
            ["boat{}", "Sail{}", "{}x", "q{}_k", "**b{}**", "_i{}_", "`c{}`", "[link{}](http://x{}.org)", "e.g.", "é{}",
             "(Mast{}.)", '"So{}?"', "Dr. Hull{}", "3.5x{}", "***", "&amp;", "\\*{}", "U.S.", "名{}", "😀"]
        )  # fmt: skip
        return form.replace("{}", str(self.words))

    def prose(self, wrap: str) -> str:
        """Return words with stops, here and there broken by `wrap`, that open with a letter and never with a mark."""
        words = [f"Opening{self.words}"]
        for _ in range(self.random.randint(0, 14)):
            stop = self.random.choice([" ", " ", " ", " ", ". ", "? ", ".) ", "… ", ": ", ", ", "."])
            gap = f"{stop.rstrip()}{wrap}also " if self.random.random() < 0.15 else stop
            words.append(gap + self.word())
        return "".join(words) + self.random.choice(["", ".", "!", ' "quoted."'])

    def paragraph(self) -> None:
        self.text += self.prose("\n") + "\n"

    def heading(self, inside: bool = False) -> None:
        level = self.random.randint(1, 6)
        name = f"Part {self.words} of {level}"
        self.words += 1
        self.headings = {at: words for at, words in self.headings.items() if at < level} | {level: name}
        self.paths.append((len(self.text), tuple(self.headings.values())))
        if level < 3 and not inside and self.random.random() < 0.5:
            self.quiet(f"{name}\n{'===' if level == 1 else '---'}\n")
        else:
            self.quiet(f"{'#' * level} {name}\n")

    def items(self, indent: str = "", depth: int = 0) -> None:
        ordered = self.random.random() < 0.5
        first = self.random.randint(1, 12)
        for n in range(self.random.randint(1, 3)):
            marker = f"{first + n}." if ordered else "-"
            marker += " " * self.random.randint(1, 3)
            inner = indent + " " * len(marker)
            self.quiet(indent + marker)
            if self.random.random() < 0.1:
                self.heading(inside=True)
                self.text += inner
            self.text += self.prose("\n" + inner) + "\n"
            extra = self.random.random()
            if extra < 0.2:
                self.text += "\n" + inner + self.prose("\n" + inner) + "\n"
            elif extra < 0.3:
                self.text += f"\n{inner}```\n{inner}{self.prose(' ')}\n\n{inner}more{self.words}\n{inner}```\n"
            if depth < 2 and self.random.random() < 0.4:
                self.text += "\n"  # without it, only a list that begins with 1 would end the paragraph
                self.items(inner, depth + 1)

    def quote(self) -> None:
        self.text += "> " + self.prose("\n> ") + "\n>\n> - " + self.prose("\n>   ") + "\n"

    def fence(self) -> None:
        self.text += f"~~~\n{self.prose(chr(10) * 2)}\n# {self.prose(' ')}\n\n| a | b |\n~~~\n"

    def indented(self) -> None:
        self.text += "\n    " + self.prose("\n\n    ") + "\n\n"

    def table(self) -> None:
        cells = [self.prose(" ").replace("|", "") for _ in range(6)]
        self.text += f"| {cells[0]} | {cells[1]} |\n|---|:--|\n| {cells[2]} | {cells[3]} |\n{cells[4]} | {cells[5]} |\n"

    def html(self) -> None:
        self.quiet(
            self.random.choice(["<div>\nhidden <b>words</b>.\n</div>\n", "<!-- Not this. -->\n", "<!--more-->\n"])
        )

    def shortcode(self) -> None:
        self.quiet('{{< part term_id="x1" >}}\n')

    def definition(self) -> None:
        self.quiet("[ref1]: http://example.org/a 'A title'\n")

    def rule(self) -> None:
        self.text += "* * *\n"

    def document(self) -> str:
        pieces: list[Callable[[], None]] = [
            self.paragraph, self.heading, self.items, self.quote, self.fence, self.indented, self.table, self.html,
            self.shortcode, self.definition, self.rule,
        ]  # fmt: skip
        if self.random.random() < 0.3:
            self.headings[0] = "The title"
            self.quiet("---\nid: x1\ntitle: The title\n---\n")
        self.paths.append((0, tuple(self.headings.values())))
        for _ in range(self.random.randint(1, 12)):
            self.random.choice(pieces)()
            # indented code and a list after a list must not run on from what stands before
            self.text += self.random.choice(["\n", "\n\n", " \n\n"]) + self.random.choice(["", "***\n\n"])
        return self.text


@pytest.mark.parametrize("seed", range(40))
def test_every_letter_and_digit_of_the_text_is_in_exactly_one_passage(seed: int) -> None:
    maker = Maker(random.Random(seed))
    text = maker.document()
    passages = check_offsets(text)
    holders = [0] * len(text)
    for passage in passages:
        for at in range(passage.start, passage.end):
            holders[at] += 1
    silent = {at for start, end in maker.silent for at in range(start, end)}
    for at, character in enumerate(text):
        if character.isalnum():
            assert holders[at] == (0 if at in silent else 1), f"at {at}: …{text[max(at - 40, 0) : at + 20]!r}…"
    for passage in passages:
        assert passage.text == passage.text.strip()
        assert passage.path == [path for start, path in maker.paths if start <= passage.start][-1]


STARTS = (
    "", "", "", "  ", "    ", "\t", "- ", "  - ", "* ", "1. ", "12) ", "   3. ", "> ", ">> ", "- > ", "# ", "###### ",
    "#", "```", "~~~", "| ", "|", "<div>", "<!--", "{{< ", "---", "===", "- # ", "> # ", "[r]: ", "\\", "![", "\u2028",
    "\ufeff",
)  # fmt: skip
ENDS = (
    "", "", ".", ". ", "  ", "\\", "|", "---|---", "-->", ">}}", "```", "# ", ":", "**", "\x0b", "\x0c", "\x85", "\xa0",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_offsets_hold_in_any_muddle_of_marks(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(20):
        lines = []
        for _ in range(source.randint(1, 14)):
            words = ["Hull", "a. B", "", "1", "*x*", "e.g. C", "***", "é", "😀", "{{% y %}}", "</b>", "a | b"]
            line = source.choice(STARTS) + " ".join(source.sample(words, source.randint(0, 3))) + source.choice(ENDS)
            lines.append(line)
        check_offsets("\n".join(lines) + source.choice(["", "\n", "\n\n"]))


# Sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["A hull floats.", "A sail pulls!", "Does it?", "Yes."],
        ["Small boats (e.g. Dinghies) float.", "Big ones too."],
        ["Dr. Hull met Prof. A. B. Mast vs. Keel in the U.S. Navy on 3 Feb. 1901.", "They sailed."],
        ["It needs approx. 40 feet, i.e. Twelve metres, cf. Fig. 3 and No. 7.", "Then it floats."],
        ["Version 3.5 is at 1.5B.", "8B is larger."],
        ["He said “Reef now.”", "She did (at once.)", "[Later] they slept…", "“Why?”", "Because."],
        ["**A hull floats.**", "*A sail pulls.*", "A mast stands."],
        ["See readme.md and x.y for more, wait... and go on."],
        ["Élan is a boat.", "Él sinks."],
    ],
)
def test_sentences_end_where_a_reader_ends_them(sentences: list[str]) -> None:
    for gap in (" ", "\n", "  "):
        assert quotes(gap.join(sentences) + "\n") == sentences
        assert list(chunking.split_sentences(f" \n{gap.join(sentences)} \n")) == sentences


@pytest.mark.parametrize("text", ["", " ", "\n\t\n"])
def test_no_text_has_no_sentences(text: str) -> None:
    assert chunking.split_sentences(text) == ()


@pytest.mark.parametrize("seed", range(20))
def test_no_character_of_a_draft_is_lost_between_its_sentences(seed: int) -> None:
    source = random.Random(seed)
    draft = "".join(
        source.choices(["A", "b", ". ", ".", " ", "e.g. ", "\n", "*", '"', "!? ", "(", ")", "… ", "7"], k=80)
    )
    parts = chunking.split_sentences(draft)
    assert "".join("".join(parts).split()) == "".join(draft.split())
    assert all(part == part.strip() != "" for part in parts)


# What a passage knows


BOATS = """# Boats

A hull floats. It is
the *body*.

## Rig

- Sails: They pull. There are two.
  - Jib: It leads. It is small.
- Mast

1. Stand
2. Lie

# Cars

Wheels turn.
"""


def test_passages_are_numbered_by_section_and_block() -> None:
    found = chunk(BOATS, "Last.\n")
    assert [(p.text, p.section, p.block) for p in found] == [
        ("A hull floats.", 0, 0),
        ("It is\nthe *body*.", 0, 0),
        ("Sails: They pull.", 1, 1),
        ("There are two.", 1, 1),
        ("Jib: It leads.", 1, 2),
        ("It is small.", 1, 2),
        ("Mast", 1, 3),
        ("Stand", 1, 4),
        ("Lie", 1, 5),
        ("Wheels turn.", 2, 6),
        ("Last.", 3, 7),
    ]
    assert [p.id for p in found] == list(range(11))
    assert [p.file for p in found] == ["0.md"] * 10 + ["1.md"]
    assert [p.kind for p in found] == ["sentence"] * 2 + ["item"] * 7 + ["sentence"] * 2


def test_the_same_list_in_two_files_is_two_groups() -> None:
    found = chunk("- a\n- b\n", "- a\n- b\n")
    assert found[0].group == found[1].group != found[2].group == found[3].group
    assert found[0].group is not None
    assert chunk("Text.\n")[0].group is None


def test_a_later_sentence_of_an_item_carries_the_label_that_opens_it() -> None:
    labels = {p.text: p.labels for p in chunk(BOATS)}
    assert labels["Sails: They pull."] == ()
    assert labels["There are two."] == ("Sails",)
    assert labels["Jib: It leads."] == ("Sails",)
    assert labels["It is small."] == ("Sails", "Jib")
    assert labels["Mast"] == ()


@pytest.mark.parametrize("label", ["Jib:", "*Jib*:", "**Jib**:", "**Jib:**", "`Jib`:", "[Jib](http):"])
def test_a_label_in_marks_is_a_label(label: str) -> None:
    first, second = chunk(f"- {label} It leads. It is small.\n")
    assert (first.labels, second.labels) == ((), ("Jib",))
    assert (first.named, second.named) == (True, False)


def test_a_paragraph_has_no_label() -> None:
    assert [(p.labels, p.named) for p in chunk("Note: It floats. It is big.\n")] == [((), False)] * 2


def test_plain_has_no_marks_and_no_line_breaks() -> None:
    assert [p.plain for p in chunk(BOATS)][:2] == ["A hull floats.", "It is the body."]


@pytest.mark.parametrize("text", ["> A hull\n> floats.\n", "- > A hull\n  > floats.\n", "> > A hull\n> > floats.\n"])
def test_plain_has_no_marks_of_a_quotation(text: str) -> None:
    assert [p.plain for p in chunk(text)] == ["A hull floats."]


@pytest.mark.parametrize("mark", ["**", "*", "__"])
def test_plain_has_no_halves_of_marks_that_span_sentences(mark: str) -> None:
    assert [p.plain for p in chunk(f"{mark}A hull floats. A sail pulls.{mark} Go on.\n")] == [
        "A hull floats.",
        "A sail pulls.",
        "Go on.",
    ]


def test_the_subject_is_the_innermost_name() -> None:
    subjects = {p.text: p.subject for p in chunk(BOATS)}
    assert subjects["A hull floats."] == "Boats"
    assert subjects["Mast"] == "Rig"
    assert subjects["Jib: It leads."] == "Sails"
    assert subjects["It is small."] == "Jib"
    assert chunk("Alone.\n")[0].subject == ""


def test_a_heading_that_stands_under_several_others_is_no_subject() -> None:
    text = "# Jib\n\n## Upkeep\n\nWash it.\n\n# Mast\n\n## Upkeep\n\nOil it.\n\n## Wood\n\nIt bends.\n"
    assert [p.subject for p in chunk(text)] == ["Jib", "Mast", "Wood"]
    once = "# Jib\n\n## Upkeep\n\nWash it.\n"
    assert [p.subject for p in chunk(once)] == ["Upkeep"]
    # across files too
    assert [p.subject for p in chunk(once, once.replace("Jib", "Mast"))] == ["Jib", "Mast"]


@pytest.mark.parametrize("pointing", ["Benefits:", "Why it matters", "Overview", "Examples of sizes"])
def test_a_heading_that_points_at_another_is_no_subject(pointing: str) -> None:
    assert chunk(f"# Jib\n\n## {pointing}\n\nIt leads.\n")[0].subject == "Jib"
    assert chunk(f"# {pointing}\n\nIt leads.\n")[0].subject != ""  # better than none


def test_an_item_is_named_by_a_label_that_no_other_list_has() -> None:
    text = "- Jib: front\n- Use: wind\n- Plain\n\nText.\n\n1. Mast: middle\n2. Use: height\n"
    assert {p.text: p.named for p in chunk(text)} == {
        "Jib: front": True,
        "Use: wind": False,
        "Plain": False,
        "Text.": False,
        "Mast: middle": True,
        "Use: height": False,
    }


def test_a_label_in_marks_that_several_lists_have_names_nothing() -> None:
    text = "- **Use**: wind\n\nText.\n\n1. **Use**: height\n"
    assert [p.named for p in chunk(text)] == [False, False, False]


def test_a_colon_in_a_later_sentence_names_no_item() -> None:
    first, second = chunk("- It leads. One more thing: wash it.\n")
    assert (first.named, second.named) == (False, False)


# Texts for the search


def test_a_passage_is_searched_by_its_innermost_two_headings_its_labels_and_its_words() -> None:
    found = {p.text: chunking.contextual(p) for p in chunk("# A\n\n## B\n\n### C\n\n- De: It is. So *there*.\n\n")}
    assert found == {"De: It is.": "B › C: De: It is.", "So *there*.": "B › C › De: So there."}
    assert chunking.contextual(chunk("*Alone*.\n")[0]) == "Alone."


def test_a_block_is_searched_as_a_whole() -> None:
    passages = chunk(BOATS)
    assert chunking.block_text(passages, 0) == "Boats: A hull floats. It is the body."
    assert chunking.block_text(passages, 3) == "Boats › Rig: Mast"
    whole = chunking.block_text(passages, 2)
    assert "Jib: It leads. It is small." in whole
    assert "Mast" not in whole


def test_a_block_without_names_is_only_its_words() -> None:
    assert chunking.block_text(chunk("Alone. Still.\n"), 0) == "Alone. Still."


@pytest.mark.parametrize(
    ("heading", "about"),
    [
        ("What Are Parameters?", "Parameters"),
        ("What is a hull?", "hull"),
        ("What does QAT mean?", "QAT"),
        ("Understanding the tag", "tag"),
        ("Deep Dive - Sails", "Sails"),
        ("About turns and tacks", "turns and tacks"),
        ("Whatever floats", "Whatever floats"),
        ("Sails", "Sails"),
    ],
)
def test_a_heading_names_its_topic(heading: str, about: str) -> None:
    assert topic(heading) == about


def test_a_label_may_be_a_letter_or_hold_a_decimal() -> None:
    text = "# Marks\n\n- K: the keel mark\n- 1.5 tons: the lightest hull\n- It floats. So: good\n"
    passages = chunk(text)
    assert [p.plain for p in passages if p.named] == ["K: the keel mark", "1.5 tons: the lightest hull"]
