"""The write-up and the model card, held against the files that they name."""

from __future__ import annotations

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from safetensors.numpy import load_file

from dogbreed.errors import ConfigError
from dogbreed.files import write_json
from dogbreed.reports.evidence import gather
from dogbreed.reports.words import NOTHING
from dogbreed.reports.writeup import write_writeup
from dogbreed.serving.predictor import Predictor

Look = Callable[..., Any]

pytestmark = pytest.mark.slow  # so that the pages, which take seconds, are made once and not by each process

#: What AWS says of a job, as it is brought back with it.
JOB = {
    "TrainingJobName": "dogs-1",
    "TrainingJobArn": "arn:aws:sagemaker:eu-west-1:123456789012:training-job/dogs-1",
    "TrainingJobStatus": "Completed",
    "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1},
    "CreationTime": "2026-01-02T03:04:05.5+00:00",
    "TrainingStartTime": "2026-01-02T03:05:00+00:00",
    "TrainingEndTime": "2026-01-02T03:15:00+00:00",
    "TrainingTimeInSeconds": 600,
    "BillableTimeInSeconds": 180,
    "FinalMetricDataList": [{"MetricName": "val/acc", "Value": 0.875}],
    "SecondaryStatusTransitions": [
        {"Status": status, "StartTime": f"2026-01-02T03:{start}:00+00:00", "EndTime": f"2026-01-02T03:{end}:00+00:00"}
        for status, start, end in (
            ("Starting", "04", "05"),
            ("Downloading", "05", "10"),
            ("Training", "10", "14"),
            ("Uploading", "14", "15"),
        )
    ],
}


@pytest.fixture(scope="module")
def folders(explained_run: Path, swept: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run, a sweep and a job beside each other."""
    place = tmp_path_factory.mktemp("evidence")
    job = place / "job"
    job.mkdir()
    write_json(job / "job.json", JOB)
    write_json(job / "launch.json", {"state": "fetched", "usd": 0.25})
    return [Path(shutil.copytree(found, place / found.name)) for found in (explained_run, swept)] + [job]


@pytest.fixture(scope="module")
def pages(folders: list[Path]) -> list[Path]:
    return write_writeup(gather(folders), folders)


@pytest.fixture(scope="module")
def texts(pages: list[Path]) -> list[str]:
    return [plain(page) for page in pages]


def plain(page: Path) -> str:
    return page.read_text().replace("\N{NO-BREAK SPACE}", " ")


def rows(text: str) -> Iterator[list[str]]:
    """The rows of the tables whose last column says where they are from."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        header, _, *body = (
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block.splitlines()
        )
        if header[-1] == "from":
            yield from body


def values(home: Path, source: str) -> Iterator[Any]:
    """What the file that a row names holds under the keys that it names."""
    found = re.match(r"\[.*?\]\((.*?)\)", source)
    assert found, source
    file = home / unquote(found[1])
    for key in re.findall(r"`(.*?)`", source):
        if file.suffix == ".safetensors":
            yield sum(int(np.prod(one.shape)) for name, one in load_file(file).items() if name.startswith(key[:-1]))
            continue
        content = json.loads(file.read_text().splitlines()[0] if file.suffix == ".jsonl" else file.read_text())
        value = look_up(content, key)
        if key.startswith("pictures."):
            yield from (sum(value), min(value), max(value))
        elif key == "FinalMetricDataList":
            yield value[0]["Value"]
        elif key == "ResourceConfig":
            yield f"{value['InstanceCount']} {value['InstanceType']} in eu-west-1"
        else:
            yield value


def look_up(content: Any, key: str) -> Any:
    """The value under a dotted key, whose parts may have dots themselves."""
    if key in content:
        return content[key]
    head = max((name for name in content if key.startswith(f"{name}.")), key=len)
    return look_up(content[head], key[len(head) + 1 :])


def assert_says(cell: str, value: Any) -> None:
    if isinstance(value, str):
        shown = cell.strip("`").removesuffix(" UTC").replace(" ", "T") if value.startswith("20") else cell.strip("`")
        assert value.startswith(shown)
    elif cell.endswith(" %"):
        assert float(cell[:-2]) == pytest.approx(100 * value, abs=0.0501)
    else:
        number = float(re.sub(r",| s$| USD$", "", cell))
        assert number == pytest.approx(value, rel=1e-3)


def test_writeup__each_number_of_its_tables_is_the_files(folders: list[Path], texts: list[str]) -> None:
    checked = 0
    for text in texts:
        for row in rows(text):
            cells = [cell for cell in row[1:-1] if cell not in (NOTHING, "")]
            found = list(values(folders[0], row[-1]))
            assert len(cells) == len(found), row
            for cell, value in zip(cells, found, strict=True):
                assert_says(cell, value)
                checked += 1
    assert checked > 50


def test_writeup__leaderboard_is_that_of_the_trials(folders: list[Path], texts: list[str]) -> None:
    with open(folders[1] / "trials.csv", newline="") as file:
        trials = {row["number"]: row for row in csv.DictReader(file)}
    board = re.findall(r"^\| (\d+) \| (\d+) \| ([\d.]+) % \| ([\d.e-]+) \| (\w+) \| (\d+) \|$", texts[0], re.M)
    best = sorted(
        (row for row in trials.values() if row["state"] == "finished"), key=lambda row: -float(row["val/acc"])
    )
    assert [number for _, number, *_ in board] == [row["number"] for row in best[:5]]
    for _, number, reached, rate, head, epoch in board:
        row = trials[number]
        assert float(reached) == pytest.approx(100 * float(row["val/acc"]), abs=0.0501)
        assert float(rate) == pytest.approx(float(row["optimizer.lr"]), rel=1e-3)
        assert (head, epoch) == (row["head"], row["best_epoch"])


def test_writeup__every_link_leads_to_a_file(pages: list[Path]) -> None:
    for page in pages:
        for target in re.findall(r"\]\((.*?)\)", page.read_text()):
            assert (page.parent / unquote(target)).exists(), target


def test_writeup__pictures_go_where_the_figures_go(folders: list[Path], pages: list[Path]) -> None:
    shown = [unquote(target) for page in pages for target in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text())]
    assert {Path(target).parts[0] for target in shown} == {"figures"}
    kept = {path.read_bytes() for path in (folders[0] / "pictures").iterdir()}
    assert kept & {(folders[0] / target).read_bytes() for target in shown}


def test_writeup__shows_what_the_artifact_answers(folders: list[Path], texts: list[str]) -> None:
    answer = json.loads(re.findall(r"```json\n(.*?)\n```", texts[0], re.S)[0])
    with open(folders[0] / "predictions.csv", newline="") as file:
        first = next(csv.DictReader(file))
    assert answer == Predictor.load(folders[0] / "artifact")(first["path"], 3).to_dict()


def test_writeup__tells_findings_with_the_command_that_mends_them(texts: list[str]) -> None:
    debugging = texts[0].split("## Debugging")[1].split("## Profiling")[0]
    assert "### LossNotDecreasing" in debugging
    assert "It explains what others found: Overfit." in debugging
    again = re.findall(r"```bash\n(python -m dogbreed.train .*)\n```", debugging)
    assert [word for word in again[0].split() if word.startswith("optimizer.lr=")] == ["optimizer.lr=0.005"]


def test_writeup__tells_what_a_job_took_and_asks_for_its_price(texts: list[str]) -> None:
    jobs = texts[0].split("## Jobs on SageMaker")[1].split("## Deployment")[0]
    assert "| downloading the data | 5 min | 50 % |" in jobs
    assert "input_mode=FastFile" in jobs
    assert "python -m launch.jobs cost dogs-1" in jobs
    assert "From [job.json](../job/job.json).\n" in jobs, "there is no log beside it"


def test_writeup__says_how_to_get_what_it_has_not(run: Path) -> None:
    write_writeup(gather([run]), [run])
    text = plain(run / "writeup.md")
    assert re.search(r"No sweep was given.*?```bash\npython -m dogbreed.train -m .*hydra/sweeper=fleet", text, re.S)
    assert re.search(r"No job was given.*?```bash\npython -m launch.train .*backend=process", text, re.S)


@pytest.mark.parametrize("left", [["metrics.csv"], ["config.yaml"], ["run.json"], ["metrics.json"]])
def test_writeup__of_a_run_that_left_little_names_what_is_missing(run: Path, left: list[str]) -> None:
    for path in run.iterdir():
        if path.name not in left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_writeup(gather([run]), [run])
    text = plain(run / "writeup.md")
    assert "From ." not in text
    assert "None" not in text
    for name in {"metrics.json", "data.json", "health.json", "profile.json", "predictions.csv"} - set(left):
        assert f"There is no {name} here" in text


def test_writeup__of_files_that_cannot_be_read_leaves_the_old_one_whole(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_writeup(gather([run]), [run])
    before = {path: path.read_bytes() for path in (run / "figures").iterdir()}

    def refused(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied", "weights.safetensors")

    monkeypatch.setattr(Predictor, "load", refused)
    with pytest.raises(PermissionError):
        write_writeup(gather([run]), [run])
    assert {path: path.read_bytes() for path in (run / "figures").iterdir()} == before


def test_writeup__of_splits_that_were_drawn_names_the_setting(run: Path) -> None:
    config = (run / "config.yaml").read_text()
    assert "val_fraction: null" in config
    (run / "config.yaml").write_text(config.replace("val_fraction: null", "val_fraction: 0.2"))
    write_writeup(gather([run]), [run])
    assert "val was drawn from train: 20 % of it (`data.val_fraction`)." in plain(run / "writeup.md")


@pytest.mark.parametrize(("path", "advised"), [("cached", False), ("pixels", True)])
def test_writeup__advises_workers_where_there_are_some(run: Path, path: str, advised: bool) -> None:
    config = (run / "config.yaml").read_text()
    assert "  path: cached\n" in config
    (run / "config.yaml").write_text(config.replace("  path: cached\n", f"  path: {path}\n"))
    write_writeup(gather([run]), [run])
    text = plain(run / "writeup.md")
    assert "Training waited 25 % of its time for data" in text
    assert ("data.num_workers" in text.split("## Profiling")[1].split("## Jobs")[0]) is advised


def test_writeup__names_with_anything_in_them_stay_names(run: Path) -> None:
    odd = "001.<img_src=x>|`a`*b*\\[c](d)"
    for name in ("predictions.csv", "data.json", "per_class.csv", "confused.csv", "pictures.json"):
        content = (run / name).read_text()
        odd_here = json.dumps(odd)[1:-1] if name.endswith(".json") else odd
        (run / name).write_text(content.replace("001.Breed_A", odd_here))
    write_writeup(gather([run]), [run])
    for page in ("writeup.md", "model_card.md"):
        html = MarkdownIt("gfm-like", {"linkify": False}).render((run / page).read_text())
        assert "<img src=x>" not in html
        assert "&lt;img src=x&gt;|`a`*b*\\[c](d)" in html


def test_model_card__is_one_to_the_hub(folders: list[Path], pages: list[Path]) -> None:
    card: Any = ModelCard(pages[1].read_text()).data
    assert card.library_name == "dogbreed"
    results = {result.metric_type: result.metric_value for result in card.eval_results}
    metrics = json.loads((folders[0] / "metrics.json").read_text())
    assert results == {"accuracy": metrics["test/acc"], "f1": metrics["test/f1_macro"]}


def test_figures__are_drawings_that_stand_alone(folders: list[Path], pages: list[Path], look: Look) -> None:
    drawn = sorted((folders[0] / "figures").glob("*.svg"))
    assert len(drawn) > 8
    for file in drawn:
        assert ElementTree.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    html = MarkdownIt("gfm-like", {"linkify": False}).render(pages[0].read_text())
    page = folders[0] / "writeup.html"
    page.write_text(f'<meta charset="utf-8">{html}')
    with look(page) as seen:
        broken = "[...document.images].filter(one => !one.naturalWidth).map(one => one.src)"
        assert seen.page.evaluate(broken) == []
        assert seen.page.locator("img").count() > 10


def test_gather__tells_folders_apart_in_any_order(folders: list[Path]) -> None:
    evidence = gather(folders[::-1])
    assert evidence.home == folders[0]
    assert [sweep.folder.path for sweep in evidence.sweeps] == [folders[1]]
    assert [job.path for job in evidence.jobs] == [folders[2]]


def test_gather__of_a_sweep_alone_takes_its_winner(swept: Path, explained_run: Path, tmp_path: Path) -> None:
    sweep = Path(shutil.copytree(swept, tmp_path / "sweep"))
    with pytest.raises(ConfigError, match="no run among"):
        gather([sweep])
    shutil.copytree(explained_run, sweep / "winner")
    assert gather([sweep]).home == sweep / "winner"


def test_gather__of_a_judgement_names_the_run_that_was_judged(run: Path) -> None:
    about = json.loads((run / "run.json").read_text())
    command = "python -m dogbreed.evaluate artifact=runs/first/artifact data.root=photos"
    write_json(run / "run.json", {**about, "command": command})
    (run / "config.yaml").write_text("artifact: runs/first/artifact\n")
    with pytest.raises(ConfigError, match=r"was left by dogbreed\.evaluate") as caught:
        gather([run])
    assert "runs/first/artifact" in caught.value.hint


def test_gather__of_what_is_none_of_them(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds neither a run nor a sweep"):
        gather([folders[0], tmp_path])
    write_json(tmp_path / "launch.json", {"state": "created"})
    with pytest.raises(ConfigError, match="nothing that its job has brought back"):
        gather([folders[0], tmp_path])
