"""The report of a sweep, from the files that the journal writes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from dogbreed.errors import ConfigError
from dogbreed.files import write_json
from dogbreed.reports.sweep_files import read_sweep
from dogbreed.reports.sweep_plots import draw_parameter, trade_off
from dogbreed.reports.sweep_report import write_sweep_report
from dogbreed.sweeps.journal import Record
from tests.reports.conftest import CONTRASTS

Look = Callable[..., Any]


@pytest.fixture(scope="module")
def report(swept: Path) -> Path:
    return write_sweep_report(swept)


@pytest.fixture
def sweep(swept: Path, tmp_path: Path) -> Path:
    """A copy, for one test to change as it likes."""
    return Path(shutil.copytree(swept, tmp_path / "sweep"))


def write_trials(directory: Path, trials: list[dict[str, Any]]) -> None:
    """Let the sweep consist of these trials, in its journal and in its table."""
    plan = (directory / "trials.jsonl").read_text().splitlines()[0]
    (directory / "trials.jsonl").write_text("\n".join([plan, *map(json.dumps, trials)]) + "\n")
    content = json.loads((directory / "trials.json").read_text())
    write_json(directory / "trials.json", {**content, "trials": trials})


def text_of(path: Path) -> str:
    page = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", path.read_text(), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sweep_report__asks_for_nothing_fits_and_can_be_read(report: Path, look: Look, width: int, scheme: str) -> None:
    with look(report, width, scheme) as seen:
        assert [url for url in seen.requests if not url.startswith(("data:", "file:"))] == []
        assert seen.messages == []
        assert seen.page.evaluate("document.scrollingElement.scrollWidth") <= width
        contrasts = seen.page.evaluate(CONTRASTS)
        assert contrasts[0][0] >= 4.5, contrasts[:3]


def test_sweep_report__plots_progress_and_every_parameter(report: Path, look: Look) -> None:
    with look(report) as seen:
        titles = seen.page.locator("figcaption").all_inner_texts()
    shown = [title.split("\n")[0] for title in titles]
    assert shown == ["Best so far", "Learning curves", "val/acc and time", "optimizer.lr", "head"]


def test_sweep_report__leaderboard_is_in_order(report: Path, swept: Path, look: Look) -> None:
    trials = json.loads((swept / "trials.json").read_text())["trials"]
    finished = sorted((one for one in trials if one["state"] == "finished"), key=lambda one: -one["value"])
    with look(report) as seen:
        rows = seen.page.locator("#board tbody tr").all_inner_texts()
    listed = [int(row.split("\t")[-2]) for row in rows]
    assert listed[: len(finished)] == [one["number"] for one in finished]
    assert len(listed) == len(trials)


def test_sweep_report__tells_the_winner_beside_ridge_and_how_to_train_it(report: Path) -> None:
    text = text_of(report)
    assert "Trial 7 is best, with val/acc 90.0 %; trained alone it names 88.0 % of test right." in text
    assert "Ridge regression, which takes no training, reaches 70.0 % on val." in text
    assert "python -m dogbreed.train optimizer.lr=0.02" in text
    assert "1 failed and 1 were stopped early as hopeless" in text
    assert "Trial 3: optimizer cannot be made" in text


def test_sweep_report__says_when_ridge_is_better(sweep: Path) -> None:
    summary = json.loads((sweep / "summary.json").read_text())
    write_json(sweep / "summary.json", {**summary, "ridge": {"val/acc": 0.95}})
    assert "the sweep has found nothing better" in text_of(write_sweep_report(sweep))


def test_sweep_report__says_when_the_best_lies_at_the_edge(sweep: Path) -> None:
    write_trials(sweep, json.loads((sweep / "trials.json").read_text())["trials"][:8])
    text = text_of(write_sweep_report(sweep))
    assert "The best lies at the edge: optimizer.lr=0.02154 is the largest that was tried" in text


def test_sweep_report__links_the_winners_own(sweep: Path, look: Look) -> None:
    (sweep / "winner").mkdir()
    (sweep / "winner" / "report.html").write_text("<h1>the winner</h1>")
    with look(write_sweep_report(sweep)) as seen:
        seen.page.get_by_role("link", name="Its own report").click()
        assert seen.page.locator("h1").inner_text() == "the winner"


def test_sweep_report__gathers_the_seeds_of_a_setting(sweep: Path) -> None:
    trials = json.loads((sweep / "trials.json").read_text())["trials"]
    for trial in trials:
        trial["params"] = {"optimizer.lr": 0.1, "seed": trial["number"]}
    write_trials(sweep, trials[4:])
    assert "spread seeds" in text_of(write_sweep_report(sweep))


def test_sweep_report__goes_on_without_a_winner(sweep: Path) -> None:
    (sweep / "summary.json").unlink()
    (sweep / "best.yaml").unlink()
    text = text_of(write_sweep_report(sweep))
    assert "There is no summary.json here: the sweep has not come to its end." in text
    assert "There is no best.yaml here: no trial has won yet." in text


def test_sweep_report__goes_on_without_its_trials(sweep: Path) -> None:
    (sweep / "trials.json").unlink()
    assert "There is no trials.json here" in text_of(write_sweep_report(sweep))


def test_sweep_report__names_what_is_half_written(sweep: Path) -> None:
    for name in ("trials.json", "summary.json"):
        content = (sweep / name).read_bytes()
        (sweep / name).write_bytes(content[: len(content) // 2])
    text = text_of(write_sweep_report(sweep))
    for name in ("trials.json", "summary.json"):
        assert f"{name} cannot be used: it is no whole JSON" in text


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("none", "0 trials How good No trial was trained to its end."),
        ("first", "1 trial over lr, head How good Trial 0 is best, with val/acc 48.0 %"),
        ("failed", "1 trial over lr, head How good No trial was trained to its end."),
    ],
)
def test_sweep_report__of_few_trials(sweep: Path, kept: str, said: str) -> None:
    trials = json.loads((sweep / "trials.json").read_text())["trials"]
    chosen = {"none": [], "first": trials[:1], "failed": [one for one in trials if one["state"] == "failed"]}
    write_trials(sweep, chosen[kept])
    text = text_of(write_sweep_report(sweep))
    assert said in re.sub(r"sweep · chosen by val/acc, on val alone |sweep (?=How)", "", text)


def test_sweep_report__of_a_sweep_killed_in_its_first_wave_tells_what_its_journal_holds(sweep: Path) -> None:
    content = json.loads((sweep / "trials.json").read_text())
    write_json(sweep / "trials.json", {**content, "trials": []})
    for name in ("summary.json", "best.yaml"):
        (sweep / name).unlink()
    with open(sweep / "trials.jsonl", "ab") as journal:
        journal.write('{"number": 12, "params": {"head": "Ü'.encode()[:-1])
    text = text_of(write_sweep_report(sweep))
    assert "12 trials so far over lr, head" in text
    assert "Trial 7 is best, with val/acc 90.0 %" in text
    assert "12 trials so far took 26 s of training in all." in text
    assert "Not everything in this folder could be read" not in text


def test_sweep_report__of_a_sweep_that_has_just_begun(sweep: Path) -> None:
    write_trials(sweep, [])
    (sweep / "summary.json").unlink()
    assert "No trial has come to its end so far." in text_of(write_sweep_report(sweep))


def test_read_sweep__takes_the_last_record_of_a_trial_and_names_lines_of_another_kind(sweep: Path) -> None:
    with open(sweep / "trials.jsonl", "a") as journal:
        journal.write('{"number": 3, "params": {"head": "mlp"}, "state": "finished", "value": 0.5}\n5\nno json\n')
    found = read_sweep(sweep)
    assert found.trials is not None
    assert [one.value for one in found.trials.records if one.number == 3] == [0.5]
    assert found.folder.problems == {"trials.jsonl": "2 of 16 lines could not be read"}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("summary.json", {"winner": [1]}),
        ("summary.json", {"ridge": {"val/acc": "high"}}),
        ("trials.json", {"monitor": "of the moon"}),
        ("best.yaml", {"params": [1]}),
    ],
)
def test_sweep_report__names_what_has_another_shape(sweep: Path, name: str, wrong: dict[str, Any]) -> None:
    (sweep / name).write_text(json.dumps({**yaml.safe_load((sweep / name).read_text()), **wrong}))
    assert f"{name} (" in text_of(write_sweep_report(sweep))


def test_sweep_report__winners_settings_can_be_pasted(sweep: Path) -> None:
    params = {"head": "a b", "data.name": "it's (1)", "scheduler": None, "optimizer.lr": 0.1}
    best = yaml.safe_load((sweep / "best.yaml").read_text())
    (sweep / "best.yaml").write_text(yaml.safe_dump({**best, "params": params}))
    page = write_sweep_report(sweep).read_text()
    shown = unescape(re.findall(r'<code class="copy">(.*?)</code>', page, flags=re.S)[-1])
    read = [OverridesParser.create().parse_override(word) for word in shlex.split(shown)]
    assert {one.key_or_group: one.value() for one in read} == params


def test_sweep_report__says_in_which_parameters_it_looked_for_an_edge(sweep: Path) -> None:
    assert "does not lie at the edge of what was tried in optimizer.lr." in text_of(write_sweep_report(sweep))
    trials = json.loads((sweep / "trials.json").read_text())["trials"]
    write_trials(sweep, trials[6:9])
    text = text_of(write_sweep_report(sweep))
    assert "No parameter has 4 numbers that were tried, so whether the best lies at an edge was not looked at" in text


def test_draw_parameter__of_500_trials_is_quick() -> None:
    trials = [Record(number, {"lr": number / 7}, "finished", (number % 50) / 50) for number in range(500)]
    started = time.process_time()
    assert draw_parameter("lr", trials, "val/acc", winner=49) is not None
    assert time.process_time() - started < 1.5


def test_sweep_report__of_no_sweep_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a run nor a sweep"):
        write_sweep_report(tmp_path)


def test_trade_off__keeps_what_no_other_beats_in_both() -> None:
    trials = [
        Record(number, {}, "finished", value, seconds=seconds)
        for number, (value, seconds) in enumerate([(0.5, 1.0), (0.4, 2.0), (0.7, 2.0), (0.7, 3.0), (0.9, 9.0)])
    ]
    assert [trial.number for trial in trade_off(trials, "max")] == [0, 2, 4]
    assert [trial.number for trial in trade_off(trials, "min")] == [0, 1]
