"""launch.sets on rows as launch.eval leaves them; no model runs."""

import json

import crossover
import pytest
from launching import complaint
from scipy import stats

from lsaprobe_jax.metrics import sets


def write(folder, rows):
  folder.mkdir(exist_ok=True)
  text = "".join(json.dumps(row) + "\n" for row in rows)
  (folder / "scores.jsonl").write_text(text)
  return folder


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """Two clips a track under A, B and a reference; members are higher by 2."""
  rows = [
    row | {"clip": f"{row['track']}@{seed}", "seed": 0}
    for method in ("lsa_probe", "loss")
    for seed in (0, 1)
    for row in crossover.rows(method, seed, 2.0)
    + crossover.rows(method, seed + 50, 0.0, models=("reference",))
  ]
  rows += [rows[0] | {"clip": "dev@0", "track": "dev", "split": "dev"}]
  rows += [r | {"t_ratio": 0.8} for r in rows if r["method"] == "loss"]
  return write(tmp_path_factory.mktemp("sets") / "run", rows)


def read(workdir):
  return json.loads((workdir / "sets.json").read_text())


def means(workdir, model, tracks):
  lines = (workdir / "scores.jsonl").read_text().splitlines()
  rows = [
    row
    for row in map(json.loads, lines)
    if (row["method"], row["model"]) == ("lsa_probe", model) and row["track"] in tracks
  ]
  return sets.track_means([r["score"] for r in rows], [r["track"] for r in rows])


def test_members_stand_out_from_the_models_own_non_members(workdir, launcher):
  done = launcher.run("sets", f"--workdir={workdir}", "--draws=40", "--model=B")
  assert done.returncode == 0, done.stderr
  found = read(workdir)
  assert (found["model"], found["method"]) == ("B", "lsa_probe")
  (test,) = found["sets"].values()
  members, others = ([t for t in crossover.TRACKS if t[0] == side] for side in "ba")
  assert test["names"] == members
  assert (test["tracks"], test["reference_tracks"]) == (12, 12)
  welch = stats.ttest_ind(
    means(workdir, "B", members), means(workdir, "B", others),
    equal_var=False, alternative="greater",
  )  # fmt: skip
  assert test["p_welch"] == pytest.approx(welch.pvalue)
  assert test["p_value"] < 0.001
  assert test["tracks_needed"] <= 12
  assert found["null_rejections"]["draws"] == 40
  assert "members" in done.stdout
  assert "40 random divisions" in done.stdout


def test_suspects_are_named_by_globs_and_leave_the_reference(workdir, launcher):
  done = launcher.run(
    "sets", f"--workdir={workdir}", "--suspects=seen=a0*,other=b0[0-3]", "--draws=10"
  )
  assert done.returncode == 0, done.stderr
  found = read(workdir)
  seen, other = found["sets"]["seen"], found["sets"]["other"]
  assert found["model"] == "A"
  assert (seen["tracks"], other["tracks"]) == (10, 4)
  assert seen["reference_tracks"] == other["reference_tracks"] == 8
  assert seen["p_holm"] == pytest.approx(2 * seen["p_value"])
  assert seen["p_holm"] < 0.01 < other["p_value"]


def test_scores_by_reference(workdir, launcher):
  done = launcher.run(
    "sets", f"--workdir={workdir}", "--difficulty_calibration=reference", "--draws=10"
  )
  assert done.returncode == 0, done.stderr
  found = read(workdir)
  groups = [[t for t in crossover.TRACKS if t[0] == side] for side in "ab"]
  ours, theirs = (
    [(means(workdir, m, group)).mean() for group in groups] for m in ("A", "reference")
  )
  expected = (ours[0] - theirs[0]) - (ours[1] - theirs[1])
  assert found["difficulty_calibration"] == "reference"
  assert found["sets"]["members"]["difference"] == pytest.approx(expected)


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--method=pia"], "--method=pia: known: loss, lsa_probe"),
    (["--method=loss"], "--method=loss: choose one by distance and t_ratio: "),
    (["--model=C"], "--model=C: lsa_probe has scored under A, B"),
    (["--suspects=x=zz*"], "--suspects=x=zz*: no such track, of 24 such as a00"),
    (["--suspects=a0*"], "--suspects=a0*: write NAME=GLOB"),
    (["--suspects=x=a00,x=b*"], "the name x is there twice"),
    (["--suspects=x=a00"], "x has 1 tracks; a test needs 2"),
    (["--suspects=x=b*"], "the reference has 0 tracks"),
    (["--suspects=x=b0*"], "2 tracks cannot be divided"),
    (["more"], "unknown arguments: more"),
  ],
)
def test_what_cannot_be_tested_is_refused(workdir, launcher, flags, message):
  done = launcher.run("sets", f"--workdir={workdir}", *flags)
  assert message in complaint(done)


def test_a_folder_without_a_finished_evaluation_is_refused(tmp_path, launcher):
  done = launcher.run("sets", f"--workdir={tmp_path / 'none'}")
  assert "scores.jsonl" in complaint(done)
  assert not (tmp_path / "none").exists()
  folder = write(tmp_path / "half", crossover.rows())
  path = folder / "scores.jsonl"
  half = path.read_text()[:-20]
  path.write_text(half)
  assert "let the evaluation finish" in complaint(
    launcher.run("sets", f"--workdir={folder}")
  )
  assert path.read_text() == half
  folder = write(tmp_path / "raw", crossover.rows())
  done = launcher.run(
    "sets", f"--workdir={folder}", "--difficulty_calibration=reference"
  )
  assert "nothing was scored under a reference" in complaint(done)
