"""Writes the model card of the embedded models that an evaluation names.

python -m launch.card --config=configs/mini.py:multigenre --train=runs/train \
  --workdir=runs/card --output=lsaprobe_jax/weights/multigenre.md

Scores the snapshots that launch.train kept, with the methods that cost one forward
pass or a few, so that a reader sees how membership becomes visible as training goes
on and how much of it is over-training. No setting is chosen from these figures.
"""

import copy
import json
import pathlib
import shlex
import sys
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from launch import command, common
from lsaprobe_jax.metrics import summary
from lsaprobe_jax.models import checkpoints
from lsaprobe_jax.scoring import experiment

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "An evaluation of the models.", lock_config=True
)
_TRAIN = flags.DEFINE_string(
  "train", None, "Folder of training workdirs, CORPUS-a, CORPUS-b, CORPUS-reference."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Scores go here.")
_OUTPUT = flags.DEFINE_string("output", None, "The card, a Markdown file.")

# Of a model's family: its name, and the configuration that trains it.
_FAMILIES = {
  "diffwave": ("DiffWave", "configs/train_diffwave.py"),
  "musicldm": ("MusicLDM", "configs/train_musicldm.py"),
}


def trained_in(train: pathlib.Path, name: str) -> pathlib.Path:
  """The folder in which an embedded model was trained."""
  return train / name.removeprefix("diffwave-")


def snapshot_rows(config: ConfigDict, train: pathlib.Path, workdir: pathlib.Path):
  """(epochs, records) of each epoch at which both halves kept a snapshot."""
  snapshots = {m: trained_in(train, config.targets[m]) / "snapshots" for m in "AB"}
  epochs = [{path.name for path in own.iterdir()} for own in snapshots.values()]
  for epoch in sorted(set.intersection(*epochs)):
    changed = copy.deepcopy(config)
    changed.part = "all"
    with changed.unlocked():
      changed.targets = ConfigDict(
        {m: str(own / epoch) for m, own in snapshots.items()}
      )
    run = experiment.load(changed, workdir / epoch, limit=None, cuts=False)
    distance = experiment.make_distance(run)
    rows = experiment.run_baseline(run, "loss", distance)
    rows += experiment.run_baseline(run, "random_stability", distance)
    yield int(epoch), summary.summarise(rows, resamples=200)


def epochs_table(config: ConfigDict, found: list[tuple[int, list[dict]]]) -> str:
  """AUC of the cross-over mean against epochs, as Markdown."""
  lines = ["| epochs | Loss, AUC | Random stability, AUC |", "|---|---|---|"]
  for epoch, records in found:
    mean = {r["method"]: r for r in records if r["model"] == "mean"}
    cells = [
      f"{mean[m]['auc']:.3f} [{mean[m]['auc_ci'][0]:.3f}, {mean[m]['auc_ci'][1]:.3f}]"
      for m in ("loss", "random_stability")
    ]
    lines.append(f"| {epoch} | {cells[0]} | {cells[1]} |")
  lines.append(
    f"\nMean of A and B over all tracks of both halves, 95% interval by track; Loss at"
    f" t = {config.baselines.loss.t_ratio} T, Random stability ({config.distance}) at"
    f" t = {config.baselines.random_stability.t_ratio} T, eta ="
    f" {config.baselines.random_stability.eta}."
  )
  return "\n".join(lines)


def losses_table(records: dict[str, dict[str, Any]]) -> str:
  """Denoising loss on each half at the end of training, as Markdown."""
  ratios = next(iter(records.values()))["training"]["loss_t_ratios"]
  head = " | ".join(f"t = {ratio} T" for ratio in ratios)
  lines = [f"| model | clips of | {head} |", "|---" * (2 + len(ratios)) + "|"]
  for name, record in records.items():
    for group, losses in record["training"]["losses"].items():
      trained = " (trained on)" if group == record["training"]["group"] else ""
      values = " | ".join(f"{loss:.4f}" for loss in losses)
      lines.append(f"| {name} | {group}{trained} | {values} |")
  return "\n".join(lines)


def card(config: ConfigDict, train: pathlib.Path, workdir: pathlib.Path) -> str:
  """The whole card."""
  corpus = config.corpus.path
  records = {
    name: checkpoints.load_model(checkpoints.find_model(name))[1]
    for name in config.targets.values()
  }
  network = next(iter(records.values()))["model"]
  family, trains = _FAMILIES[network["family"]]
  parts = [
    f"# Embedded {family} models: {corpus}",
    "Small, and trained far past the point where they generalise, so that membership"
    " can be seen within minutes on a laptop. Separation on them is stronger than on"
    " a model trained on more music; no figure here is about such a model.",
  ]
  for name, record in records.items():
    training = record["training"]
    tracks = {clip["id"].rsplit("@", 1)[0] for clip in training["clips"]}
    parts.append(
      f"## {name}\n\nGroup `{training['group']}`: {len(training['clips'])} clips of"
      f" {len(tracks)} tracks, {training['epochs']} epochs; weights sha256"
      f" `{record['weights_sha256'][:16]}`. The clips' ids and hashes and all settings"
      " are in its `model.json`.\n\n```\npython -m launch.train"
      f" --config={trains}:{corpus},{training['group']} \\\n"
      f"  --workdir={trained_in(pathlib.Path('runs/train'), name)} \\\n"
      f"  --export=lsaprobe_jax/weights/{name}\n```"
    )
  parts += [
    f"## Architecture\n\n```json\n{json.dumps(network, indent=1)}\n```",
    "## Denoising loss\n\nMean squared error of the predicted noise, averaged"
    f" weights, fixed noise.\n\n{losses_table(records)}",
    "## AUC against epochs\n\n"
    + epochs_table(config, list(snapshot_rows(config, train, workdir))),
    f"Written by `{shlex.join(['python', '-m', 'launch.card', *sys.argv[1:]])}`.",
  ]
  return "\n\n".join(parts) + "\n"


def main(argv):
  """Writes the card."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_devices()
  text = card(_CONFIG.value, pathlib.Path(_TRAIN.value), pathlib.Path(_WORKDIR.value))
  pathlib.Path(_OUTPUT.value).write_text(text)
  logging.info("wrote %s", _OUTPUT.value)


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "train", "workdir", "output"])
  command.run(main)
