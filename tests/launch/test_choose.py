"""Settings are chosen by what was tried, and written with their hash."""

import hashlib
import json

import pytest

from benchmarks import choosing


def line(method, t, *aucs, model="fine-tune", field="baselines.loss.t_ratio"):
  records = [
    {"method": method, "model": name, "difficulty_calibration": by, "auc": auc}
    for by, auc in zip(("none", "twins"), aucs, strict=False)
    for name in ("A", "mean")
  ]
  # What is no mean is no figure.
  for record in records:
    record["auc"] *= record["model"] == "mean"
  changes = {"methods": ["any"], field: t, "targets.A": model}
  return {"changes": changes, "methods": ["any"], "records": records}


LINES = [
  line("loss", 0.1, 0.9, 0.5),
  line("loss", 0.2, 0.6, 0.9),
  line("loss", 0.1, 0.5, 0.9, model="other"),
  line("loss", 0.2, 0.7, 0.8, model="other"),
]
for _model in ("fine-tune", "other"):
  LINES += [
    line("lsa_probe, eta_ref=0.1", 0.1, 0.6, model=_model, field="t_ratio"),
    line("lsa_probe, eta_ref=0.4", 0.1, 0.7, model=_model, field="t_ratio"),
    line(
      "lsa_probe_anchored, eta_ref=0.2", 0.2, 0.7,
      model=_model, field="anchored.t_ratio",
    ),
  ]  # fmt: skip


def test_the_highest_average_is_chosen():
  chosen, figures = choosing.choose(LINES)
  assert choosing.nested(chosen) == {
    "baselines": {"loss": {"t_ratio": 0.2}},
    "t_ratio": 0.1,
    "tau": {"eta_ref": 0.4},
    "anchored": {"t_ratio": 0.2, "tau": {"eta_ref": 0.2}},
  }
  assert list(figures["loss"].values()) == [0.7, 0.75]


@pytest.mark.parametrize(
  ("lines", "said"),
  [
    (LINES[:3], "^loss: some settings were tried under other models"),
    (LINES[:-1], "^lsa_probe_anchored: some settings were tried under other models"),
    ([], "^nothing was tried"),
    ([{"records": []}], "^a line is not one of a tuning"),
    ([LINES[0] | {"records": [{"model": "mean"}]}], "^a line is not one of a tuning"),
  ],
)
def test_what_cannot_be_compared_is_not_chosen_from(lines, said):
  with pytest.raises(ValueError, match=said):
    choosing.choose(lines)


def test_it_writes_what_it_hashed(launcher, tmp_path):
  (tmp_path / "tried.jsonl").write_text("".join(json.dumps(x) + "\n" for x in LINES))
  output = tmp_path / "settings.json"
  args = [f"--tried={tmp_path}", "--families=diffwave", f"--output={output}"]
  done = launcher.run("benchmarks.choose", *args)
  made = json.loads(output.read_text())["diffwave"]
  text = json.dumps(made["settings"], sort_keys=True)
  assert made["sha256"] == hashlib.sha256(text.encode()).hexdigest()
  assert made["sha256"] in done.stdout


@pytest.mark.parametrize(
  "args",
  [
    ["--families=a,b", "--tried=x"],
    ["--families=a,a", "--tried=x,y"],
    ["--families=a", "--tried=nowhere"],
  ],
)
def test_what_cannot_be_read_is_named(launcher, tmp_path, args):
  done = launcher.run("benchmarks.choose", *args, f"--output={tmp_path / 'out'}")
  assert done.returncode != 0
  assert args[0 if "," in args[0] else 1].split("=")[0] in done.stderr
