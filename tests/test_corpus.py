from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from assistant import corpus
from assistant.errors import CorpusError
from assistant.records import Asked, Block, Document


def parse(text: str) -> Document:
    return corpus.parse(text, "a.md")


def blocks(text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return each block's kind, words and labels."""
    document = parse(text)
    return [(b.kind, text[b.start : b.end], b.labels) for s in document.sections for b in s.blocks]


def quoted(text: str) -> list[str]:
    return [words for _, words, _ in blocks(text)]


def paths(text: str) -> list[tuple[str, ...]]:
    return [section.path for section in parse(text).sections]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


# Front matter


@pytest.mark.parametrize(
    "front",
    [
        "---\ntitle: Boats\n---\n",
        '---\nid: x\ntitle:   "Boats"  \nfull_link: /a\n---\n',
        "---\ntitle: 'Boats'\nbody: |\n  title: Cars\n---  \n",
        "---\ntitle: 3. Boats:\n---\n",
        "\ufeff---\ntitle: Boats\n---\n",
    ],
)
def test_the_title_of_the_front_matter_stands_above_everything(front: str) -> None:
    text = front + "\nA hull floats.\n\n# Sails\n\nA sail pulls.\n"
    assert paths(text) == [("Boats",), ("Boats", "Sails")]
    assert quoted(text) == ["A hull floats.", "A sail pulls."]


def test_front_matter_without_a_title_is_no_text_either() -> None:
    assert paths("---\nid: boats\n---\nA hull floats.\n") == [()]
    assert quoted("---\nid: boats\n---\nA hull floats.\n") == ["A hull floats."]


def test_only_front_matter_that_opens_the_file_is_front_matter() -> None:
    text = "A hull floats.\n\n---\n\ntitle: Boats\n\n---\n\nA sail pulls.\n"
    assert paths(text) == [()]
    assert quoted(text) == ["A hull floats.", "title: Boats", "A sail pulls."]


def test_front_matter_of_nothing_else_has_no_sections() -> None:
    assert parse("---\ntitle: Boats\n---").sections == ()


# Headings and sections


def test_a_heading_replaces_those_of_its_level_and_below() -> None:
    text = "# A\n\n## B\n\n#### C\n\n### D\n\n## E\n\n# F\n"
    assert paths(text) == [("A",), ("A", "B"), ("A", "B", "C"), ("A", "B", "D"), ("A", "E"), ("F",)]


def test_sections_lie_end_to_end_from_their_heading_to_the_next() -> None:
    text = "Before.\n\n# A\n\nFirst.\n\nB\n---\n\nSecond.\n"
    assert [text[s.start : s.end] for s in parse(text).sections] == [
        "Before.\n\n",
        "# A\n\nFirst.\n\n",
        "B\n---\n\nSecond.\n",
    ]
    assert paths(text) == [(), ("A",), ("A", "B")]


def test_a_heading_is_shown_without_marks() -> None:
    assert paths("# 3. *The* `XR7` [kit](http://x.org):\n") == [("The XR7 kit",)]


def test_code_is_no_heading() -> None:
    text = "```\n# not a heading\n```\n\n    # nor this\n"
    assert paths(text) == [()]
    assert len(quoted(text)) == 2


@pytest.mark.parametrize(
    "heading, clean",
    [
        ("3. Quantization:", "Quantization"),
        ("1.2.3) Hulls", "Hulls"),
        ("  Sails :  ", "Sails"),
        ("3.5 metres", "3.5 metres"),
        ("512 Tokens:", "512 Tokens"),
        ("Hulls: an overview", "Hulls: an overview"),
        ("", ""),
    ],
)
def test_numbering_and_a_closing_colon_are_dropped(heading: str, clean: str) -> None:
    assert corpus.clean_heading(heading) == clean
    assert corpus.clean_heading(clean) == clean


@pytest.mark.parametrize(
    "text", ["- # Hulls\n- They float.\n", "1. Boats\n\n   ## Hulls\n\n   They float.\n2. Sails\n"]
)
def test_a_heading_in_a_list_item_is_a_heading(text: str) -> None:
    assert paths(text)[-1] == ("Hulls",)
    assert "They float." in quoted(text)


# Blocks


def test_nested_items_know_the_items_above_them() -> None:
    text = "- Rig: the sails\n  - Main\n    1. Luff. It leads\n  - Jib\n- Hull\n"
    assert blocks(text) == [
        ("item", "Rig: the sails", ()),
        ("item", "Main", ("Rig",)),
        ("item", "Luff. It leads", ("Rig", "Main")),
        ("item", "Jib", ("Rig",)),
        ("item", "Hull", ()),
    ]


def test_a_label_is_shown_without_marks_and_ends_at_its_first_colon_or_stop() -> None:
    text = "- **Rig:** the [sails](http://x.org)\n  - Main\n- A `mast` stands. It bends\n  - Wood\n"
    assert [labels for _, _, labels in blocks(text)] == [(), ("Rig",), (), ("A mast stands",)]


def test_an_item_keeps_its_further_lines_and_paragraphs() -> None:
    text = "1. Main\nlazy\n\n   Second.\n2. Jib\n\nOutside.\n"
    assert blocks(text) == [
        ("item", "Main\nlazy", ()),
        ("item", "Second.", ()),
        ("item", "Jib", ()),
        ("paragraph", "Outside.", ()),
    ]


def test_items_of_one_list_share_a_group_and_no_others_do() -> None:
    text = "- a\n  - b\n  - c\n- d\n\nText.\n\n1. e\n2. f\n"
    found = {text[b.start : b.end]: b.group for s in parse(text).sections for b in s.blocks}
    assert found["a"] == found["d"] != found["b"] == found["c"]
    assert found["e"] == found["f"] not in (found["a"], found["b"])
    assert found["Text."] is None
    assert None not in {found[name] for name in "abcdef"}


def test_a_table_row_is_one_block() -> None:
    text = "| Sail | Use |\n|---|---|\n| Jib | wind |\n| Main | |\n"
    assert quoted(text) == ["| Sail | Use |", "| Jib | wind |", "| Main | |"]


def test_a_fence_is_one_block_and_its_blank_lines_stay() -> None:
    text = "```py\nreef(1)\n\n# why\n```\n\n~~~\nunclosed\n"
    assert quoted(text) == ["```py\nreef(1)\n\n# why\n```", "~~~\nunclosed"]


def test_quotes_and_links_are_text() -> None:
    text = "> A [hull](http://x.org) floats.\n\n> - Luff\n"
    assert blocks(text) == [("paragraph", "A [hull](http://x.org) floats.", ()), ("item", "Luff", ())]


@pytest.mark.parametrize(
    "silent",
    [
        '{{< glossary_definition term_id="hull" >}}',
        "{{% include %}}\n{{< x >}}",
        "<div>\nhtml\n</div>",
        "<!-- a remark\n\nof two lines -->",
        "***",
        "[hull]: http://x.org 'Title'",
        "<!--more-->",
    ],
)
def test_shortcodes_html_rules_and_link_definitions_are_no_text(silent: str) -> None:
    assert quoted(f"A hull floats.\n\n{silent}\n\nA sail pulls.\n") == ["A hull floats.", "A sail pulls."]


def test_a_shortcode_in_a_sentence_does_not_take_it_away() -> None:
    assert quoted('A {{< tip text="hull" >}} floats.\n') == ['A {{< tip text="hull" >}} floats.']


@pytest.mark.parametrize("gap", ["\n", ""])
def test_text_between_two_shortcodes_is_kept(gap: str) -> None:
    (found,) = quoted(f"{{{{< note >}}}}{gap}A hull floats.{gap}{{{{< /note >}}}}\n")
    assert "A hull floats." in found


def test_a_number_that_opens_a_paragraph_is_no_marker() -> None:
    assert quoted("1986\\. A great year.\n\n1.5 metres.\n\n-5 degrees.\n") == [
        "1986\\. A great year.",
        "1.5 metres.",
        "-5 degrees.",
    ]


def test_markers_are_left_out_however_deep() -> None:
    assert quoted("- + * 3. deep\n\n> 1) quoted\n\n-\tafter a tab\n-\n  on the next line\n") == [
        "deep",
        "quoted",
        "after a tab",
        "on the next line",
    ]


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n", "\n\n\n"])
def test_nothing_has_no_sections(text: str) -> None:
    assert parse(text).sections == ()


# Inline marks


@pytest.mark.parametrize(
    "markdown, plain",
    [
        ("A **bold** and *leaning* `hull`", "A bold and leaning hull"),
        ("a [hull](http://x.org 'T') and ![a mast](m.png)", "a hull and a mast"),
        ("two\nlines  \nand\ta tab", "two lines and a tab"),
        ("Q4_K_M stays, 2 * 3 * 4 too", "Q4_K_M stays, 2 * 3 * 4 too"),
        ("\\*no marks\\* &amp; R&D", "*no marks* & R&D"),
        ("", ""),
        ("  ", ""),
        ("H<sub>2</sub>O and <!-- aside -->water", "H2O and water"),
    ],
)
def test_plain_is_what_a_reader_sees(markdown: str, plain: str) -> None:
    assert corpus.plain(markdown) == plain


# Files


def test_a_single_file_of_any_suffix_is_a_corpus(tmp_path: Path) -> None:
    read = corpus.load(write(tmp_path, "notes.rst", "# Boats\n\nA hull floats.\n"))
    (document,) = read.documents
    assert document.name == "notes.rst"
    assert document.sections[0].blocks == (Block("paragraph", 9, 23),)


def test_a_folder_is_read_in_order_of_names_with_its_subfolders(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.MARKDOWN", "c.TXT", "a/deep/y.md"):
        write(tmp_path, name, f"I am {name}.\n")
    write(tmp_path, "picture.png", "\0")
    write(tmp_path, "notes.html", "<p>no</p>")
    read = corpus.load(tmp_path)
    assert [d.name for d in read.documents] == ["a/deep/y.md", "a/z.MARKDOWN", "b.md", "c.TXT"]
    assert all(read.text(d.name) == f"I am {d.name}.\n" for d in read.documents)


def test_an_empty_file_among_others_is_harmless(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "")
    write(tmp_path, "b.md", "A hull floats.\n")
    assert [len(d.sections) for d in corpus.load(tmp_path).documents] == [0, 1]


def test_a_folder_named_like_a_file_is_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "boats.md/hull.md", "A hull floats.\n")
    assert [d.name for d in corpus.load(tmp_path).documents] == ["boats.md/hull.md"]


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_endings_make_no_difference(tmp_path: Path, ending: str) -> None:
    text = "---\ntitle: Boats\n---\n# A\n\nA hull\nfloats.\n\n- Luff\n- Leech\n"
    unix = corpus.load(write(tmp_path, "unix/a.md", text))
    other = corpus.load(write(tmp_path, "other/a.md", text.replace("\n", ending)))
    assert other == unix


def test_a_byte_order_mark_is_no_character_of_the_text(tmp_path: Path) -> None:
    (document,) = corpus.load(write(tmp_path, "a.md", "\ufeff# Boats\n\nA hull floats.\n")).documents
    assert [s.path for s in document.sections] == [("Boats",)]
    (bare,) = corpus.load(write(tmp_path, "b.md", "\ufeffA hull floats.\n")).documents
    block = bare.sections[0].blocks[0]
    assert bare.text[block.start : block.end] == "A hull floats."


def test_the_digest_changes_with_names_and_texts(tmp_path: Path) -> None:
    write(tmp_path, "one/a.md", "A hull floats.\n")
    write(tmp_path, "same/a.md", "A hull floats.\n")
    write(tmp_path, "text/a.md", "A hull sinks.\n")
    write(tmp_path, "name/b.md", "A hull floats.\n")
    write(tmp_path, "more/a.md", "A hull floats.\n")
    write(tmp_path, "more/b.md", "")
    digests = {name: corpus.load(tmp_path / name).digest for name in ("one", "same", "text", "name", "more")}
    assert digests["one"] == digests["same"]
    assert len(set(digests.values())) == 4


# Other ways to ask


HULL = {"quote": "A hull floats.", "asked": ["What swims?", "Was schwimmt, « außen »?"]}


def ask(folder: Path, *rows: object, name: str = "a.asked.jsonl") -> Path:
    """Write a corpus of one file with these rows of questions beside it."""
    write(folder, name, "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n")
    return write(folder, "a.md", "A hull floats.\n")


def test_other_ways_to_ask_stand_beside_the_file_they_are_for(tmp_path: Path) -> None:
    ask(tmp_path / "boats", HULL, {"quote": "A sail pulls.", "asked": []})
    write(tmp_path, "boats/b.md", "A sail pulls.\n")
    hull = Asked("boats/a.md", "A hull floats.", ("What swims?", "Was schwimmt, « außen »?"))
    assert corpus.load(tmp_path).asked == (hull, Asked("boats/a.md", "A sail pulls.", ()))
    assert corpus.load(tmp_path / "boats" / "b.md").asked == ()
    assert [d.name for d in corpus.load(tmp_path).documents] == ["boats/a.md", "boats/b.md"]


def test_the_digest_changes_with_the_ways_to_ask(tmp_path: Path) -> None:
    without = corpus.load(ask(tmp_path, name="other.jsonl")).digest
    one = corpus.load(ask(tmp_path, HULL)).digest
    two = corpus.load(ask(tmp_path, HULL | {"asked": ["What swims?"]})).digest
    assert len({without, one, two}) == 3


@pytest.mark.parametrize("mark", ["\u2028", "\x85"])
def test_a_question_may_hold_any_character(tmp_path: Path, mark: str) -> None:
    (way,) = corpus.load(ask(tmp_path, HULL | {"asked": [f"What{mark}swims?"]})).asked
    assert way.questions == (f"What{mark}swims?",)


@pytest.mark.parametrize(
    "row",
    [
        "no object",
        ["A hull floats.", "What swims?"],
        {"asked": ["What swims?"]},
        {"quote": "A hull floats."},
        {"quote": "A hull floats.", "asked": None},
        {"quote": "A hull floats.", "asked": "What swims?"},
    ],
)
def test_malformed_ways_to_ask_are_refused(tmp_path: Path, row: object) -> None:
    path = ask(tmp_path, HULL, row)
    with pytest.raises(CorpusError) as caught:
        corpus.load(path)
    message = str(caught.value)
    assert str(tmp_path / "a.asked.jsonl") in message
    assert len(message.splitlines()) == 1


def test_ways_to_ask_that_are_no_json_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.asked.jsonl", "{quote: what}\n")
    with pytest.raises(CorpusError, match="malformed"):
        corpus.load(write(tmp_path, "a.md", "A hull floats.\n"))


def refusal(path: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        corpus.load(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(path) in message
    assert "--corpus" in message  # what mends it
    return message


@pytest.mark.parametrize(
    "raw, found",
    [
        (b"", "no text"),
        (b" \n\t\n", "no text"),
        (b"# Only\n\n## headings\n", "no text"),
        (b"---\ntitle: Boats\n---\n", "no text"),
        (b"{{< x >}}\n\n<br>\n", "no text"),
        (b"%PDF-1.7\n\0\0", "binary"),
        ("A hull floats.\n".encode("utf-16"), "binary"),
        ("A café floats.\n".encode("latin-1"), "not UTF-8 (byte 5)"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, raw: bytes, found: str) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(raw)
    assert found in refusal(path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.md", "A hull floats.\n")
    os.truncate(path, corpus.MOST_BYTES + 1)
    assert "64 MiB" in refusal(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.md")


def test_a_folder_without_text_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "no")
    assert ".md" in refusal(tmp_path)


def test_a_bad_file_in_a_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "A hull floats.\n")
    (tmp_path / "b.md").write_bytes(b"\xff\xfe")
    assert str(tmp_path / "b.md") in refusal(tmp_path)
