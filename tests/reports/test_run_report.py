"""The report of a run, opened in a real browser without network."""

from __future__ import annotations

import itertools
import json
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dogbreed.errors import ConfigError, OutputError
from dogbreed.files import write_csv, write_json
from dogbreed.health.profiler import build_profile
from dogbreed.health.samples import MachineSample
from dogbreed.phases import Clock
from dogbreed.reports.run_files import read_run
from dogbreed.reports.run_plots import draw_machine
from dogbreed.reports.run_report import write_report
from dogbreed.reports.verdict import findings, judge
from dogbreed.reports.words import NOTHING, percent
from tests.reports.conftest import CONTRASTS, OUTCOMES, evaluate_all

Look = Callable[..., Any]
FILES = [
    *("config.yaml", "run.json", "metrics.json", "metrics.csv", "per_class.csv", "confused.csv", "skipped.csv"),
    *("health.json", "profile.json", "data.json", "predictions.csv", "pictures.json", "artifact/artifact.json"),
]
ANY_MAPPING = ("run.json", "metrics.json", "artifact/artifact.json")


@pytest.fixture(scope="module")
def reports(explained_run: Path, run_of_133: Path) -> dict[str, Path]:
    return {"4 classes": write_report(explained_run), "133 classes": write_report(run_of_133)}


def text_of(path: Path) -> str:
    """The words of a page, as a reader without a browser finds them."""
    page = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", path.read_text(), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("classes", ["4 classes", "133 classes"])
@pytest.mark.parametrize("width", [390, 1400])
def test_report__asks_for_nothing_and_fits(reports: dict[str, Path], look: Look, classes: str, width: int) -> None:
    with look(reports[classes], width) as seen:
        assert [url for url in seen.requests if not url.startswith(("data:", "file:"))] == []
        assert len([url for url in seen.requests if url.startswith("file:")]) == 1, "the page itself"
        assert seen.messages == []
        assert seen.page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert seen.page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert seen.page.evaluate("document.images.length") > 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report__every_text_can_be_read(reports: dict[str, Path], look: Look, scheme: str) -> None:
    with look(reports["133 classes"], scheme=scheme) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        contrasts = seen.page.evaluate(CONTRASTS)
        assert len(contrasts) > 500
        assert contrasts[0][0] >= 4.5, contrasts[:3]


def test_report__turns_dark_with_the_reader_and_its_plots_too(reports: dict[str, Path], look: Look) -> None:
    colours = """[getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector('.plot svg text')).fill]"""
    found = []
    for scheme in ("light", "dark"):
        with look(reports["4 classes"], scheme=scheme) as seen:
            found.append(seen.page.evaluate(colours))
    (light_page, light_ink), (dark_page, dark_ink) = found
    assert light_page != dark_page
    assert light_ink != dark_ink


def test_report__is_light_on_paper_whatever_the_reader_likes(reports: dict[str, Path], look: Look) -> None:
    with look(reports["4 classes"], 794, "dark") as seen:
        seen.page.emulate_media(media="print", color_scheme="dark")
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert seen.page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert seen.page.evaluate("document.scrollingElement.scrollWidth") <= 794


def test_report__headings_are_in_order_and_pictures_have_words(reports: dict[str, Path], look: Look) -> None:
    with look(reports["4 classes"]) as seen:
        levels = seen.page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5')].map(one => +one.tagName[1])")
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
        named = "[...document.querySelectorAll('img, svg')].every(one => one.alt || one.getAttribute('aria-label'))"
        assert seen.page.evaluate(named)
        targets = "[...document.querySelectorAll('nav a')].every(one => document.querySelector(one.hash))"
        assert seen.page.evaluate(targets)


def test_report__needs_no_script(reports: dict[str, Path]) -> None:
    assert "<script" not in reports["133 classes"].read_text()
    assert not re.search(r" on\w+=", reports["133 classes"].read_text())


def test_report__of_133_classes_is_quick_and_small(run_of_133: Path) -> None:
    started = time.perf_counter()
    path = write_report(run_of_133)
    assert time.perf_counter() - started < 10
    assert path.stat().st_size < 5_000_000


def test_report__begins_with_how_good_what_is_wrong_and_where_the_time_went(
    reports: dict[str, Path], explained_run: Path
) -> None:
    accuracy = json.loads((explained_run / "metrics.json").read_text())["test/acc"]
    text = text_of(reports["4 classes"])
    answers = text[text.index("How good") :]
    assert f"{accuracy * 100:.1f} % of 16 test pictures are named right, among 4 classes" in answers
    assert "Chance is 25.0 %" in answers
    assert "LossNotDecreasing: loss rose. The loss rose from 4.9 to 25.2. 1 finding follows from it." in answers
    assert "1 min 40 s in all, 70 % of it before the first step of training. Most of that: feature pass, 1 min." in text
    assert "Training took 20 s, 25 % of it waiting for data." in text


def test_report__folds_consequences_under_their_cause(reports: dict[str, Path], look: Look) -> None:
    with look(reports["4 classes"]) as seen:
        assert seen.page.locator("article.finding > h3").all_inner_texts() == ["LossNotDecreasing"]
        assert not seen.page.get_by_role("heading", name="Overfit").is_visible()
        seen.page.locator("summary", has_text="1 finding follows").click()
        assert seen.page.get_by_role("heading", name="Overfit").is_visible()


def test_report__remedy_is_selected_whole_by_a_click(reports: dict[str, Path], look: Look) -> None:
    with look(reports["4 classes"]) as seen:
        seen.page.locator(".verdict .copy").click()
        assert seen.page.evaluate("getSelection().toString().trim()") == "optimizer.lr=0.005"


def test_report__lists_every_quiet_rule_and_why(reports: dict[str, Path]) -> None:
    text = text_of(reports["4 classes"])
    for outcome in OUTCOMES[2:]:
        assert f"{outcome.rule} {outcome.status.value} {outcome.reason}" in text


def test_report__shows_the_command_to_run_it_again(reports: dict[str, Path], explained_run: Path) -> None:
    assert json.loads((explained_run / "run.json").read_text())["command"] in text_of(reports["4 classes"])


@pytest.mark.parametrize(("accuracy", "clear"), [(0.25, False), (0.3125, False), (0.75, True)])
def test_judge__says_when_an_accuracy_is_no_better_than_guessing(run: Path, accuracy: float, clear: bool) -> None:
    write_json(run / "metrics.json", {"test/acc": accuracy})
    first = judge(read_run(run))[0]
    assert ("That is not clearly better than guessing." not in first.rest) == clear


def test_judge__names_the_most_frequent_class_where_test_is_unbalanced(run: Path) -> None:
    content = json.loads((run / "data.json").read_text())
    content["pictures"]["test"] = [13, 1, 1, 1]
    write_json(run / "data.json", content)
    assert "always naming the most frequent class 81.2" in judge(read_run(run))[0].rest


def test_judge__is_content_where_no_rule_found_anything(run: Path) -> None:
    write_json(run / "health.json", {"preset": "default", "rules": [one.to_json() for one in OUTCOMES[2:5]]})
    second = judge(read_run(run))[1]
    assert (second.tone, second.strong) == ("good", "No rule found anything.")
    assert "1 rule looked and was content; 1 does not apply" in second.rest


def test_findings__one_whose_cause_found_nothing_stands_for_itself(run: Path) -> None:
    write_json(run / "health.json", {"preset": "default", "rules": [one.to_json() for one in OUTCOMES[1:]]})
    health = read_run(run).health
    assert health is not None
    assert [one.rule for one in findings(health)] == ["Overfit"]


@pytest.mark.parametrize("name", FILES)
def test_read_run__half_a_file_is_named_or_read_as_far_as_it_goes(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    for share in (0.0, 0.1, 0.5, 0.9, 0.99):
        (run / name).write_bytes(content[: int(share * len(content))])
        found = read_run(run)
        if name.endswith(".json"):
            assert name in found.folder.problems


@pytest.mark.parametrize("wrong", ["[]", "{}", "null", '{"rules": 3}', '"text"', '{"phases": {}, "seconds": "x"}'])
@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".json")])
def test_read_run__content_of_another_kind_is_named_or_empty(run: Path, name: str, wrong: str) -> None:
    (run / name).write_text(wrong)
    assert name in read_run(run).folder.problems or (wrong.startswith("{") and name in ANY_MAPPING)


def test_report__of_a_run_that_died_names_what_cannot_be_read(run: Path) -> None:
    (run / "metrics.json").unlink()
    for name in FILES:
        if name not in ("metrics.json", "metrics.csv", "config.yaml"):
            content = (run / name).read_bytes()
            (run / name).write_bytes(content[: len(content) // 2])
    text = text_of(write_report(run))
    assert "There is no test result after 2 epochs" in text
    for name in ("health.json", "profile.json", "data.json", "run.json"):
        assert f"{name} cannot be used: it is no whole JSON" in text


def test_report__of_metrics_alone_says_what_is_missing(explained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes((explained_run / "metrics.csv").read_bytes())
    text = text_of(write_report(tmp_path))
    for name in ("health.json", "profile.json", "predictions.csv", "data.json", "run.json", "config.yaml"):
        assert f"There is no {name} here" in text


def test_report__of_an_older_run_uses_its_tables(run: Path) -> None:
    evaluate_all(run)
    for name in ("predictions.csv", "pictures.json", "data.json"):
        (run / name).unlink()
    text = text_of(write_report(run))
    assert "There is no predictions.csv here" in text
    assert "Breed A Breed B" in text
    assert "4 classes, the weakest first" in text


def test_report__of_a_run_that_exploded(run: Path) -> None:
    losses = {"train/loss": "nan", "val/loss": "inf", "val/acc": "nan"}
    rows = [{"epoch": epoch, "train/acc": 0.25, **losses} for epoch in range(3)]
    write_csv(run / "metrics.csv", rows, list(rows[0]))
    (run / "metrics.json").write_text('{"test/acc": NaN, "test/loss": NaN}')
    path = write_report(run)
    assert "The test accuracy is no number." in text_of(path)
    assert f"Over 3 epochs: train from {NOTHING} to {NOTHING}; val from inf to inf." in path.read_text()


def changed(path: Path, keys: list[Any], value: Any) -> None:
    """Write `value` at a place in a JSON file."""
    content = place = json.loads(path.read_text())
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "keys", "wrong"),
    [
        ("artifact/artifact.json", ["backbone"], None),
        ("artifact/artifact.json", ["backbone"], "resnet"),
        ("artifact/artifact.json", ["calibration"], 5),
        ("artifact/artifact.json", ["calibration", "temperature"], 0),
        ("run.json", ["git"], 5),
        ("data.json", ["class_names"], [1, 2, 3, 4]),
        ("data.json", ["pictures", "test"], [-4, 1, 1, 1]),
        ("data.json", ["pictures", "test"], [float("inf"), 1, 1, 1]),
        ("pictures.json", ["mistakes", 0, "probability"], "much"),
        ("pictures.json", ["mistakes", 0, "file"], None),
        ("pictures.json", ["mistakes", 0, "true"], None),
        ("health.json", ["rules", 0, "Details"], [1]),
        ("health.json", ["rules", 0, "finding", "step"], "soon"),
        ("metrics.json", ["test/acc"], 7),
        ("metrics.json", ["test/acc"], float("inf")),
        ("profile.json", ["seconds"], float("nan")),
    ],
)
def test_report__names_what_has_another_shape(run: Path, name: str, keys: list[Any], wrong: Any) -> None:
    changed(run / name, keys, wrong)
    assert f"{name} (" in text_of(write_report(run))


@pytest.mark.parametrize(
    ("name", "keys"),
    [("health.json", ["rules", 0, "finding", "step"]), ("pictures.json", ["mistakes", 0, "probability"])],
)
def test_report__reads_a_number_that_is_written_as_a_text(run: Path, name: str, keys: list[Any]) -> None:
    changed(run / name, keys, "1")
    write_report(run)
    assert read_run(run).folder.problems == {}


@pytest.mark.parametrize("wrong", [{"epoch": "nan"}, {"val/acc": "7"}, {"val/acc": "inf"}])
def test_report__leaves_out_an_epoch_that_cannot_be(run: Path, wrong: dict[str, str]) -> None:
    rows = [{"epoch": epoch, "val/acc": 0.5, "val/loss": 1.5 - epoch} for epoch in range(2)]
    write_csv(run / "metrics.csv", [*rows, {"epoch": 2, "val/acc": 0.9, "val/loss": 0.1, **wrong}], list(rows[0]))
    assert "metrics.csv ( 1 of 3 lines could not be read" in text_of(write_report(run)).replace("(", "( ")


SAMPLES = [
    MachineSample(0.5 * number, cores=(40.0, 60.0), memory=1.0, gpus=(30.0,) if number > 3 else ())
    for number in range(8)
]


@pytest.mark.parametrize("samples", [0, 1, 2, 8])
def test_report__shows_the_profile_as_it_is_written(run: Path, samples: int) -> None:
    clock = Clock()
    with clock.phase("training"):
        pass
    write_json(run / "profile.json", build_profile(SAMPLES[:samples], clock, 0.0, 5.0))
    text = text_of(write_report(run))
    assert read_run(run).folder.problems == {}
    assert ("sample , every" in text or ", every 0.5 s" in text) == (samples > 1)
    assert "5 s in all" in text


def test_report__says_how_the_threshold_of_val_held_on_test(run: Path) -> None:
    fitted = {
        "temperature": 1.5,
        "ece_before": 0.1,
        "ece_after": 0.05,
        "precision": 0.9,
        "coverage": 0.6,
        "pictures": 9,
    }
    answers = read_run(run).predictions
    threshold = sorted(answer.probability for answer in answers)[4]
    changed(run / "artifact/artifact.json", ["calibration"], {**fitted, "threshold": threshold})
    sure = [answer.true == answer.predicted for answer in answers if answer.probability >= threshold]
    expected = (
        f"On test {percent(len(sure) / 16, 1)} are sure, and {percent(sum(sure) / len(sure), 1)} of those are right"
    )
    assert expected.replace("\N{NO-BREAK SPACE}", " ") in text_of(write_report(run))
    changed(run / "artifact/artifact.json", ["calibration"], {**fitted, "threshold": None})
    assert "every answer is marked unsure" in text_of(write_report(run))
    changed(run / "artifact/artifact.json", ["calibration"], None)  # a run of an earlier version
    assert "unsure" not in text_of(write_report(run))


def test_draw_machine__leaves_a_gap_where_nothing_was_measured(run: Path) -> None:
    write_json(run / "profile.json", build_profile(SAMPLES, Clock(), 0.0, 5.0))
    profile = read_run(run).profile
    assert profile is not None
    processors = next(draw_machine(profile.series)).text.replace("\N{NO-BREAK SPACE}", " ")
    assert processors == "CPU: 50 % on average; GPU: 30 % on average"


def test_report__leaves_out_the_phase_in_which_it_is_written(run: Path) -> None:
    clock = Clock()
    with clock.phase("feature pass"):
        pass
    with clock.phase("report"):
        write_json(run / "profile.json", build_profile([], clock, 0.0, 5.0))
    page = write_report(run).read_text()
    assert '<th scope="row" style="padding-left: 0.0rem">feature pass</th>' in page
    assert ">report</th>" not in page
    assert "report 0 s" not in page.replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture
def run_of_one_class(run: Path) -> Path:
    """The run, had all its pictures been of one class, and all been named so."""
    rows = [
        {"path": f"{number}.jpg", "true": "A", "predicted": "A", "probability": 1.0, "probability_of_true": 1.0}
        for number in range(5)
    ]
    write_csv(run / "predictions.csv", rows, list(rows[0]))
    write_json(run / "metrics.json", {"test/acc": 1.0})
    write_json(run / "data.json", {"root": "", "class_names": ["A"], "pictures": {"train": [8], "test": [5]}})
    write_json(run / "pictures.json", {"mistakes": [], "pairs": []})
    return run


def test_report__of_one_class_compares_with_no_guess(run_of_one_class: Path) -> None:
    verdict = judge(read_run(run_of_one_class))[0]
    assert verdict.tone == "plain"
    assert "Chance" not in verdict.rest
    text = text_of(write_report(run_of_one_class))
    assert "among 1 class (" in text
    assert "1 classes" not in write_report(run_of_one_class).read_text()


def test_report__without_a_mistake_misses_no_picture_of_one(run_of_one_class: Path) -> None:
    text = text_of(write_report(run_of_one_class))
    assert "No picture of test was taken for another class." in text
    assert "pictures.json holds nothing" not in text


def test_report__of_names_in_another_script_warns_of_nothing(run: Path) -> None:
    for name in ("predictions.csv", "data.json"):
        text = (run / name).read_text()
        (run / name).write_text(text.replace("Breed_A", "柴犬"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "柴犬" in write_report(run).read_text()


def test_report__takes_names_as_they_are(run: Path, look: Look) -> None:
    for name in ("predictions.csv", "data.json", "pictures.json"):
        text = (run / name).read_text()
        (run / name).write_text(text.replace("Breed_A", "<b>$x$</b> & Übermut"))
    with look(write_report(run)) as seen:
        assert seen.page.locator("b").count() == 0
        assert seen.page.get_by_text("<b>$x$</b> & Übermut").count() > 3
        assert seen.messages == []


def test_report__leaves_out_a_thumbnail_that_is_not_whole(run: Path) -> None:
    (run / "pictures" / "000.jpg").write_bytes((run / "pictures" / "000.jpg").read_bytes()[:200])
    assert "pictures/000.jpg" in text_of(write_report(run))


def test_report__reads_no_picture_outside_of_the_run(run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes((run / "pictures" / "000.jpg").read_bytes())
    text = (run / "pictures.json").read_text()
    (run / "pictures.json").write_text(re.sub(r"pictures/\d+\.jpg", str(secret), text))
    assert "data:image/jpeg" not in write_report(run).read_text()


def test_report__of_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a run nor a sweep"):
        write_report(tmp_path)


def test_report__that_cannot_be_written_is_an_output_error(run: Path) -> None:
    (run / "report.html").unlink(missing_ok=True)
    (run / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html cannot be written"):
        write_report(run)
