"""The bench's clock, its children and its figures, with scripted programs in place of both sides; its plots."""

from __future__ import annotations

import json
import math
import os
import re
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from assistant.errors import EvaluationError
from assistant.evaluation import bench, plots, programs
from assistant.evaluation.bench import BenchResult, Side
from assistant.evaluation.metrics import Share
from assistant.evaluation.programs import Child, Program
from assistant.evaluation.questions import Case
from assistant.records import Answer, Question, Sentence, Turn
from assistant.settings import Settings

pytestmark = pytest.mark.process

SCRIPT = """
import json, os, sys, time
pause, told, log = float(sys.argv[1]), sys.argv[2], sys.argv[3]
def note(line):
    with open(log, "a") as file:
        file.write(f"{os.getpid()} {told} {line}\\n")
if sys.argv[4] == "ask":
    note("ask " + sys.argv[5])
    time.sleep(pause)
    print("first", flush=True)
    time.sleep(pause)
    sys.exit()
for line in sys.stdin:
    asked = json.loads(line)
    note(f"{asked['question']} {len(asked['history'])}")
    if asked["question"] == "die":
        sys.exit("first line\\nno memory left")
    time.sleep(pause)
    print(json.dumps({"first": True}), flush=True)
    time.sleep(pause)
    refuses = told == "refuse"
    print(json.dumps({"answer": told, "abstained": refuses, "reason": told if refuses else ""}), flush=True)
"""


def case(number: int, kind: str = "fact", answerable: bool = True, text: str = "", turns: int = 0) -> Case:
    question = Question(text or f"question {number}", tuple(Turn("user", "before") for _ in range(turns)))
    return Case(f"x{number}", kind, question, answerable, ((re.compile("blue"),),), (), ())


def program(folder: Path, name: str, told: str, pause: float = 0.0) -> Program:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = (sys.executable, str(script), str(pause), told, str(folder / "log"))
    return Program(name, (*command, "ask"), (*command, "serve"))


def nothing(done: int, total: int) -> None:
    pass


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(folder: Path) -> set[int]:
    return {int(line.split()[0]) for line in (folder / "log").read_text().splitlines()}


RESULT = BenchResult(
    assistant=Side("ours", cold_s=5.0, ttft_s=0.5, total_s=3.0, peak_mib=1500.0, correct=8, refused=2),
    baseline=Side("theirs", cold_s=10.0, ttft_s=2.0, total_s=4.0, peak_mib=1000.0, correct=1, refused=0),
    asked=10,
    answerable=9,
)


def test_a_cold_start_is_timed_to_its_first_byte(tmp_path: Path) -> None:
    started = time.perf_counter()
    with Child("slow", (*program(tmp_path, "slow", "x", pause=0.5).ask, "question")) as child:
        seconds, peak = child.finish()
    whole = time.perf_counter() - started
    assert 0.5 <= seconds <= whole - 0.25  # the second pause comes after the first byte
    assert 1 < peak < 10_000


def test_peak_memory_is_in_mib(tmp_path: Path) -> None:
    script = "import sys; x = bytearray(300 * 2**20); x[::4096] = b'x' * len(x[::4096]); print(len(x))"
    with Child("large", (sys.executable, "-c", script)) as child:
        assert child.finish()[1] > 300


def test_an_answer_is_timed_to_its_first_word_and_to_its_end(tmp_path: Path) -> None:
    with Child("slow", program(tmp_path, "slow", "blue", pause=0.4).serve) as child:
        child.answer(Question("warm up"))
        first, total, said = child.answer(Question("why?", (Turn("user", "before"),)))
    assert 0.4 <= first <= total - 0.2
    assert (said.text, said.abstained, said.question) == ("blue", False, "why?")
    assert (tmp_path / "log").read_text().endswith("blue why? 1\n")


def test_sides_take_turns_and_both_are_counted(tmp_path: Path) -> None:
    cases = [case(1), case(2, answerable=False), case(3)]
    steps: list[tuple[int, int]] = []
    result = bench.compare(
        program(tmp_path, "ours", "blue"),
        program(tmp_path, "theirs", "refuse", pause=0.1),
        Question("opening"),
        cases,
        lambda done, total: steps.append((done, total)),
    )
    lines = [line.split(" ", 1)[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert lines[:6] == ["blue ask opening", "refuse ask opening"] * 3
    assert lines[6:8] == ["blue opening 0", "refuse opening 0"]
    assert lines[8:] == [f"{told} question {n} 0" for n in (1, 2, 3) for told in ("blue", "refuse")]
    assert steps == [(n, 7) for n in range(8)]
    assert (result.assistant.correct, result.assistant.refused) == (2, 0)
    assert (result.baseline.correct, result.baseline.refused) == (1, 3)
    assert (result.asked, result.answerable) == (3, 2)
    assert 0.1 <= result.baseline.ttft_s < result.baseline.total_s
    assert not any(alive(pid) for pid in pids(tmp_path))


def test_a_dead_child_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    ours, theirs = program(tmp_path, "ours", "blue"), program(tmp_path, "theirs", "blue")
    with pytest.raises(EvaluationError, match="ours ended with status 1: no memory left; .* run it yourself: "):
        bench.compare(ours, theirs, Question("opening"), [case(1, text="die")], nothing)
    assert not any(alive(pid) for pid in pids(tmp_path))


def test_a_child_that_is_dead_before_it_is_asked_is_an_error() -> None:
    with Child("gone", (sys.executable, "-c", "raise SystemExit('not here')")) as child:
        child._process.wait()
        with pytest.raises(EvaluationError, match="gone ended with status 1: not here"):
            child.answer(Question("why?"))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("raise SystemExit('no corpus')", "status 1: no corpus"),
        ("print('begun', flush=True); raise SystemExit('halfway')", "status 1: halfway"),
        ("pass", "status 0: it did not say why"),
    ],
)
def test_a_cold_start_that_fails_or_is_silent_is_an_error(script: str, message: str) -> None:
    with Child("broken", (sys.executable, "-c", script)) as child, pytest.raises(EvaluationError, match=message):
        child.finish()


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="cannot start nobody"):
        Child("nobody", ("/no/such/program",))


@pytest.mark.parametrize("line", ["words", "[]", '{\\"second\\": true}'])
def test_a_line_that_is_not_of_the_protocol_is_an_error(line: str) -> None:
    with (
        Child("odd", (sys.executable, "-c", f'input(); print("{line}")')) as child,
        pytest.raises(EvaluationError, match="odd wrote .* expected JSON with 'first'"),
    ):
        child.answer(Question("why?"))


@pytest.mark.parametrize("call", ["finish", "answer"])
def test_a_child_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setattr(programs, "PATIENCE_S", 0.3)
    with Child("stuck", (sys.executable, "-c", "import time; time.sleep(60)")) as child:
        with pytest.raises(EvaluationError, match="status -9"):
            child.finish() if call == "finish" else child.answer(Question("why?"))
        assert not alive(child._process.pid)


def test_children_are_ended_when_the_user_stops(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == bench.COLD_STARTS + 1:
            raise KeyboardInterrupt

    ours, theirs = program(tmp_path, "ours", "blue"), program(tmp_path, "theirs", "blue")
    with pytest.raises(KeyboardInterrupt):
        bench.compare(ours, theirs, Question("opening"), [case(1)], stop)
    assert len(pids(tmp_path)) == 8
    assert not any(alive(pid) for pid in pids(tmp_path))


def test_a_child_that_ignores_the_request_to_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "GRACE_S", 0.2)
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    with Child("deaf", (sys.executable, "-c", script)) as child:
        assert child._stdout.readline() == b"up\n"
    assert child._process.returncode == -9


def test_the_choice_takes_kinds_in_turn_and_is_always_the_same() -> None:
    cases = [case(n, kind) for kind, many in (("fact", 8), ("list", 2), ("typo", 5)) for n in range(many)]
    opening, chosen = bench.choose(cases, count=7)
    assert opening is cases[0].question
    assert [c.kind for c in chosen] == ["fact", "list", "typo", "fact", "list", "typo", "fact"]
    assert cases[0] not in chosen
    assert bench.choose(cases, count=7) == (opening, chosen)
    assert len(bench.choose(cases)[1]) == len(cases) - 1


def test_the_opening_question_is_plain_and_answerable() -> None:
    odd = [case(1, answerable=False), case(2, turns=1), case(3, text="-x: what is it?")]
    with pytest.raises(EvaluationError, match="answerable question without history"):
        bench.choose(odd)
    assert bench.choose([*odd, case(4)])[0].text == "question 4"
    assert [c.id for c in bench.choose([case(4)])[1]] == ["x4"]


def test_ratios_by_hand() -> None:
    assert RESULT.ratios == {"cold_s": 0.5, "ttft_s": 0.25, "total_s": 0.75, "peak_mib": 1.5}
    assert math.isnan(replace(RESULT, baseline=replace(RESULT.baseline, ttft_s=0.0)).ratios["ttft_s"])


def test_a_result_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="7 asked"):
        replace(RESULT, asked=7, answerable=7)


def test_the_table() -> None:
    assert bench.table(RESULT).splitlines() == [
        "| median | ours | theirs | ratio |",
        "| --- | --- | --- | --- |",
        "| program start to first word, s | 5.00 | 10.00 | 0.50 |",
        "| question to first word, s | 0.50 | 2.00 | 0.25 |",
        "| question to end of answer, s | 3.00 | 4.00 | 0.75 |",
        "| peak memory, MiB | 1,500 | 1,000 | 1.50 |",
        "| right, of 10 | 8 | 1 | |",
        "| refused (unanswerable: 1) | 2 | 0 | |",
    ]


def test_the_files(tmp_path: Path) -> None:
    bench.write(RESULT, tmp_path / "a" / "b")
    text = (tmp_path / "a/b/bench.md").read_text()
    assert bench.table(RESULT) in text
    assert "Cold: the assistant's index exists already" in text
    found = json.loads((tmp_path / "a/b/bench.json").read_text())
    assert found["ratios"] == RESULT.ratios
    assert found["assistant"]["peak_mib"] == 1500.0
    (tmp_path / "file").touch()
    with pytest.raises(EvaluationError, match="pass another --out"):
        bench.write(RESULT, tmp_path / "file")


def settings(folder: Path, **given: object) -> Settings:
    corpus = folder / "corpus.md"
    corpus.write_text("# A\n\nB is blue.\n")
    return replace(Settings(corpus, folder / "data"), **given)  # type: ignore[arg-type]


def test_settings_become_options(tmp_path: Path) -> None:
    found = settings(tmp_path, threads=3)
    assert bench.options(found, "corpus", "model", "threads") == (f"--corpus={found.corpus}", "--threads=3")
    assert f"--data-dir={found.data_dir}" in bench.options(found)


def test_without_the_baseline_the_run_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="checkout of the project"):
        bench.run(settings(tmp_path), tmp_path / "no.py", tmp_path / "q.jsonl", None, lambda line: None, nothing)


def test_a_server_has_nothing_to_compare(tmp_path: Path) -> None:
    given = settings(tmp_path, model_url="http://127.0.0.1:1/v1")
    with pytest.raises(EvaluationError, match="--model-url"):
        bench.run(given, Path(__file__), tmp_path / "q.jsonl", None, lambda line: None, nothing)


def test_serve_tells_the_first_word_and_the_answer() -> None:
    asked: list[Question] = []

    def stream(question: Question) -> Iterator[Answer]:
        asked.append(question)
        yield Answer(question.text)
        if question.text == "why?":
            yield Answer(question.text, (Sentence("Blue.", "model", ()),))
            yield Answer(question.text, (Sentence("Blue. Yes.", "model", ()),), complete=True)

    lines = [{"question": "why?", "history": [{"role": "user", "content": "hm"}]}, {"question": "", "history": []}]
    out = StringIO()
    bench.serve(stream, (json.dumps(line) + "\n" for line in lines), out)
    first, answer, empty, nothing_said = map(json.loads, out.getvalue().splitlines())
    assert first == empty == {"first": True}
    assert (answer["answer"], answer["abstained"], nothing_said["answer"]) == ("Blue. Yes.", False, "")
    assert asked == [Question("why?", (Turn("user", "hm"),)), Question("")]


def size(path: Path) -> tuple[int, int]:
    """Return width and height in pixels; the PNG's header holds them."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", head[16:])
    return width, height


def test_plots_are_pictures_of_a_sensible_size(tmp_path: Path) -> None:
    plots.bench_plot(RESULT, tmp_path / "new" / "bench.png")
    shares = {f"kind {n}": Share(n, 11) for n in range(12)} | {"none": Share(0, 0)}
    plots.kinds_plot(shares, tmp_path / "kinds.png")
    plots.risk_coverage_plot([(1.0, 0.3), (0.5, 0.1), (0.0, 0.0)], tmp_path / "risk.png")
    for name in ("new/bench.png", "kinds.png", "risk.png"):
        width, height = size(tmp_path / name)
        assert 900 <= width <= 2000
        assert 300 <= height <= 1600
        assert 5_000 < (tmp_path / name).stat().st_size < 300_000


def test_a_plot_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EvaluationError, match="pass another path"):
        plots.risk_coverage_plot([(1.0, 0.3)], tmp_path / "file" / "risk.png")
