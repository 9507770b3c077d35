"""Writes the card of the dose benchmark's models, from their records and training logs.

python -m benchmarks.dose_card --family=musicldm --train=runs/train \
  --logs=results/dose/training --output=lsaprobe_jax/weights/musicldm-dose.md

--train has the working folders of configs/train_dose.py; their logs are copied to
--logs, from which the curves of a training can be drawn again.
"""

import json
import pathlib
import shlex
import shutil
import sys
from typing import Any

from absl import app, flags

from configs import train_dose
from launch import command
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import tables
from lsaprobe_jax.models import checkpoints

_FAMILY = flags.DEFINE_enum("family", "musicldm", train_dose.FAMILIES, "Which models.")
_TRAIN = flags.DEFINE_string("train", None, "Folder of the trainings.")
_LOGS = flags.DEFINE_string("logs", None, "Training logs are copied there.")
_OUTPUT = flags.DEFINE_string("output", None, "The card, a Markdown file.")

_HEAD = """# Models of the dose benchmark: {family}

A base model was trained on a broad group of tracks, and fine-tuned on either half of
the others. The fine-tunes were kept after 1 to {last} passes over their clips, so that
a reader sees at which dose a method first tells members apart. Those whose names end in
a number are embedded after so many passes, `{family}-dose-a-100` after 100. The models
are small, and what is found on them is not what a published model would show.
"""
_LOSSES = """## Denoising loss

The mean squared error of what the network predicts, on the clips of each group, under
averaged weights and with the same noise for all, by passes over the half that was
trained on. The base, which saw neither half, is the line of 0 passes. `dev` is of other
tracks that no model has seen.
"""


def main(argv):
  """Reads the trainings, copies their logs, writes the card."""
  command.refuse_arguments(argv)
  family, train = _FAMILY.value, pathlib.Path(_TRAIN.value)
  folders = sorted(train.glob(f"dose-{family}-*"))
  kept = {folder: _last(folder) for folder in folders}
  whole = [folder for folder in folders if kept[folder] is not None]
  if not any(folder.name.endswith("-base") for folder in whole):
    raise app.UsageError(f"--train={train}: no dose-{family}-base that is whole")
  logs = pathlib.Path(_LOGS.value)
  logs.mkdir(parents=True, exist_ok=True)
  for folder in whole:
    shutil.copy(folder / "losses.jsonl", logs / f"{folder.name}.jsonl")
  records = {folder.name: _record(kept[folder]) for folder in whole}
  network = json.dumps(next(iter(records.values()))["model"], indent=1)
  written_by = shlex.join(["python", "-m", "benchmarks.dose_card", *sys.argv[1:]])
  parts = [
    _HEAD.format(family=family, last=_passes(records)),
    *(_trained(name, record, family) for name, record in records.items()),
    _LOSSES,
    _losses(train, records, family),
    f"## Architecture\n\n```json\n{network}\n```",
    f"Written by `{written_by}`.",
  ]
  write_whole(pathlib.Path(_OUTPUT.value), "\n\n".join(map(str.strip, parts)) + "\n")


def _last(folder: pathlib.Path) -> pathlib.Path | None:
  """The model of a training, or of one that goes on the last snapshot; None of none."""
  made = [*sorted((folder / "snapshots").glob("[0-9]*")), folder / "model"]
  return next((path for path in reversed(made) if path.is_dir()), None)


def _passes(records: dict[str, dict]) -> int:
  """The most passes of any fine-tune."""
  tuned = [own for name, own in records.items() if not name.endswith("-base")]
  return max((own["training"]["epochs"] for own in tuned), default=0)


def _record(folder: pathlib.Path) -> dict[str, Any]:
  return checkpoints.load_model(folder)[1]


def _trained(name: str, record: dict[str, Any], family: str) -> str:
  """What a model was trained on, and the command that did."""
  training = record["training"]
  config = training["config"]
  group, seed = config["corpus"]["groups"][0], config["seed"]
  what = _what(name, family)
  return (
    f"## {name}\n\nThis model was trained on group `{group}` for {training['epochs']}"
    f" passes, with seed {seed}, a learning rate of {config['learning_rate']:g} that"
    f" ends at {config['final_learning_rate']:g}, and batches of"
    f" {config['batch_size']}. The sha256 of its weights begins with"
    f" `{record['weights_sha256'][:16]}`.\n\n"
    f"```\npython -m launch.train --config=configs/train_dose.py:{family},{what} \\\n"
    f"  --workdir=runs/train/{name}\n```"
  )


def _what(name: str, family: str) -> str:
  """What configs/train_dose.py calls a training, behind the family."""
  parts = name.removeprefix(f"dose-{family}-").split("-")
  # Folders leave the first seed out, and the music stands behind it.
  if len(parts) == 2 and parts[1] in train_dose.CORPORA:
    parts.insert(1, "0")
  return ",".join(parts)


def _losses(train: pathlib.Path, records: dict[str, dict], family: str) -> str:
  """Losses of the base and of every snapshot, as Markdown."""
  base = records[f"dose-{family}-base"]["training"]
  header = [
    "model",
    "passes",
    "clips of",
    *(f"t = {t} T" for t in base["eval_t_ratios"]),
  ]
  cells = [header, *_lines("base", 0, base)]
  for name in records:
    for snapshot in sorted((train / name / "snapshots").glob("[0-9]*")):
      training = _record(snapshot)["training"]
      short = name.removeprefix(f"dose-{family}-")
      cells += _lines(short, int(snapshot.name), training)
  return "\n".join(tables.markdown(cells))


def _lines(name: str, passes: int, training: dict[str, Any]) -> list[list[str]]:
  trained = training["config"]["corpus"]["groups"]
  return [
    [name, str(passes), group + " (trained on)" * (group in trained)]
    + [f"{loss:.4f}" for loss in losses]
    for group, losses in training["eval_loss"].items()
  ]


if __name__ == "__main__":
  flags.mark_flags_as_required(["train", "logs", "output"])
  command.run(main)
