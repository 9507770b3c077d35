"""Tries settings of the probe on tune tracks and tabulates what they gave.

python -m launch.tune --config=configs/tune_mini.py --workdir=runs/tune

Reads no clip of a test track. Every setting tried is a line of WORKDIR/tried.jsonl,
the clip scores behind it lie in a folder of its own, and the table goes to
WORKDIR/tried.md. The same command continues a run that was interrupted.
"""

import dataclasses
import json
import pathlib
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from launch import command, common
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import difficulty, summary
from lsaprobe_jax.scoring import experiment, factories, variations

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "A `base` and the `grid` to try.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Scores and the table go here.")

_COLUMNS = ("method", "model", "difficulty_calibration", "auc", "auc_ci", "reached")


def try_setting(run: experiment.Evaluation, methods: list[str]) -> list[dict[str, Any]]:
  """Runs some methods; returns one record for each model, raw and difficulty-calibrated."""
  distance = experiment.make_distance(run)
  rows = []
  for name in methods:
    if name != factories.PROBE:
      rows += experiment.run_methods(run, [name])
  if factories.PROBE in methods:
    # Every eta_ref from the same curves: none costs another pass.
    curves = experiment.run_curves(run, distance)
    for eta_ref in run.config.eta_refs:
      rows += [
        row | {"method": f"{factories.PROBE}, eta_ref={eta_ref}"}
        for row in experiment.probe_rows(run, curves, eta_ref)
      ]
  rows += difficulty.by_reference(rows)
  records = summary.summarise(rows, resamples=200)
  return [
    {name: record[name] for name in (*_COLUMNS, "nfe_forward", "nfe_backward")}
    for record in records
  ]


def table(lines: list[dict[str, Any]]) -> str:
  """The cross-over means (and the null control) of everything tried, as Markdown."""
  out = [
    "| setting | method | A | B | mean [95% by track] | difficulty-calibrated | reached | calls |",
    "|---|---|---|---|---|---|---|---|",
  ]
  for line in lines:
    setting = ", ".join(f"{k}={v}" for k, v in line["changes"].items())
    found = {
      (r["method"], r["model"], r["difficulty_calibration"]): r for r in line["records"]
    }
    for method in dict.fromkeys(r["method"] for r in line["records"]):
      a, b, mean = (found[method, model, False] for model in ("A", "B", "mean"))
      calibrated = found.get((method, "mean", "reference"))
      reached = "" if mean["reached"] is None else f"{mean['reached']:.0%}"
      out.append(
        f"| {setting} | {method} | {a['auc']:.3f} | {b['auc']:.3f} | {mean['auc']:.3f}"
        f" [{mean['auc_ci'][0]:.3f}, {mean['auc_ci'][1]:.3f}] |"
        f" {'' if calibrated is None else format(calibrated['auc'], '.3f')} | {reached}"
        f" | {mean['nfe_forward']:.0f}/{mean['nfe_backward']:.0f} |"
      )
  return "\n".join(out) + "\n"


def main(argv):
  """Tries every setting."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_devices()
  config, workdir = _CONFIG.value, pathlib.Path(_WORKDIR.value)
  with common.ending_in_one_line(f"the rows in {workdir}"):
    print(table(_try_all(config, workdir)))


def _try_all(config: ConfigDict, workdir: pathlib.Path) -> list[dict[str, Any]]:
  """Scores every setting; writes and returns what became of each."""
  workdir.mkdir(parents=True, exist_ok=True)
  scorer, lines = None, []
  # All of them are checked before the first is scored.
  for number, (changes, changed) in enumerate(variations.of_grid(config)):
    methods = list(changed.methods)
    name = common.digest(common.jsonable(changed))[:12]
    run = experiment.load(changed, workdir / name, limit=None, cuts=False)
    # One scorer for all: settings that differ in traced values share a compilation.
    scorer = scorer or run.scorer
    run = dataclasses.replace(run, scorer=scorer)
    records = try_setting(run, methods)
    lines.append({"changes": changes, "methods": methods, "records": records})
    logging.info("%d of %d\n%s", number + 1, len(config.grid), table(lines[-1:]))
    write_whole(workdir / "tried.jsonl", "".join(f"{json.dumps(x)}\n" for x in lines))
    write_whole(workdir / "tried.md", table(lines))
  return lines


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  command.run(main)
