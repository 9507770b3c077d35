"""Writes the model card of the embedded models that an evaluation names.

python -m benchmarks.card --config=configs/mini.py:multigenre --train=runs/train \
  --workdir=runs/card --output=lsaprobe_jax/weights/multigenre.md

It scores the snapshots that launch.train kept, with methods that cost one forward pass
or a few, so that a reader sees how membership becomes visible as training goes on, and
how much of it is over-training. No setting is chosen from these figures.
"""

import dataclasses
import json
import pathlib
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from absl import flags, logging
from ml_collections import config_flags

from launch import command, devices
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import summary, tables
from lsaprobe_jax.models import checkpoints
from lsaprobe_jax.scoring.experiment import open_evaluation
from lsaprobe_jax.scoring.method_rows import run_methods
from lsaprobe_jax.scoring.settings import Experiment

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "An evaluation of the models.", lock_config=True
)
_TRAIN = flags.DEFINE_string(
  "train", None, "Folder of training workdirs, CORPUS-a, CORPUS-b, CORPUS-reference."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Scores go here.")
_OUTPUT = flags.DEFINE_string("output", None, "The card, a Markdown file.")

# By a model's family: its name, and the configuration that trains it.
_FAMILIES = {
  "diffwave": ("DiffWave", "configs/train_diffwave.py"),
  "musicldm": ("MusicLDM", "configs/train_musicldm.py"),
}
# Scored on snapshots, by what the table calls them.
_METHODS = {"loss": "Loss", "random_stability": "Random stability"}
_RESAMPLES = 200


def trained_in(train: pathlib.Path, name: str) -> pathlib.Path:
  """The folder in which an embedded model was trained."""
  return train / name.removeprefix("diffwave-")


def snapshot_records(
  settings: Experiment, train: pathlib.Path, workdir: pathlib.Path
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
  """Yields (epochs, records) of each epoch at which both halves kept a snapshot."""
  snapshots = {m: trained_in(train, settings.targets[m]) / "snapshots" for m in "AB"}
  epochs = [{path.name for path in own.iterdir()} for own in snapshots.values()]
  for epoch in sorted(set.intersection(*epochs)):
    targets = {m: str(own / epoch) for m, own in snapshots.items()}
    changed = dataclasses.replace(settings, targets=targets, part="all")
    changed = changed.changed({"twins.names": ()})
    run = open_evaluation(changed, workdir / epoch, cuts=False)
    rows = run_methods(run, _METHODS)
    yield int(epoch), summary.summarise(rows, resamples=_RESAMPLES)


def epochs_table(
  settings: Experiment, found: list[tuple[int, list[dict[str, Any]]]]
) -> str:
  """AUC of the cross-over mean against epochs, as Markdown."""
  cells = [["epochs", *(f"{name}, AUC" for name in _METHODS.values())]]
  for epoch, records in found:
    mean = {r["method"]: r for r in records if r["model"] == "mean"}
    cells.append([str(epoch), *(tables.auc(mean[method]) for method in _METHODS)])
  loss, stability = (settings.baselines[method] for method in _METHODS)
  return (
    "\n".join(tables.markdown(cells))
    + "\n\nEach AUC is the mean of A and B over all tracks of both halves, with a 95%"
    f" interval by track. Loss is taken at t = {loss['t_ratio']} T, and Random"
    f" stability ({settings.distance}) at t = {stability['t_ratio']} T with eta ="
    f" {stability['eta']}."
  )


def losses_table(records: dict[str, dict[str, Any]]) -> str:
  """Denoising loss on each half at the end of training, as Markdown."""
  ratios = next(iter(records.values()))["training"]["eval_t_ratios"]
  cells = [["model", "clips of", *(f"t = {ratio} T" for ratio in ratios)]]
  for name, record in records.items():
    training = record["training"]
    for group, losses in training["eval_loss"].items():
      trained = " (trained on)" if group == training["group"] else ""
      cells.append([name, f"{group}{trained}", *(f"{loss:.4f}" for loss in losses)])
  return "\n".join(tables.markdown(cells))


def _model_part(name: str, record: dict[str, Any], corpus: str, trains: str) -> str:
  """What one model was trained on, and the command that did."""
  training = record["training"]
  tracks = {clip["id"].rsplit("@", 1)[0] for clip in training["clips"]}
  return (
    f"## {name}\n\nThis model was trained on group `{training['group']}`"
    f" ({len(training['clips'])} clips of {len(tracks)} tracks) for"
    f" {training['epochs']} epochs. The sha256 of its weights begins with"
    f" `{record['weights_sha256'][:16]}`. Its `model.json` holds the clips' ids and"
    " hashes and all settings.\n\n```\npython -m launch.train"
    f" --config={trains}:{corpus},{training['group']} \\\n"
    f"  --workdir={trained_in(pathlib.Path('runs/train'), name)} \\\n"
    f"  --export=lsaprobe_jax/weights/{name}\n```"
  )


def card(settings: Experiment, train: pathlib.Path, workdir: pathlib.Path) -> str:
  """The whole card."""
  corpus = settings.corpus.path
  records = {
    name: checkpoints.load_model(checkpoints.find_model(name))[1]
    for name in settings.targets.values()
  }
  network = next(iter(records.values()))["model"]
  family, trains = _FAMILIES[network["family"]]
  parts = [
    f"# Embedded {family} models: {corpus}",
    "These models are small and were trained far past the point where they generalise,"
    " so that membership can be seen within minutes on a laptop. Separation on them is"
    " stronger than on a model trained on more music. No figure here is about such a"
    " model.",
    *(_model_part(name, record, corpus, trains) for name, record in records.items()),
    f"## Architecture\n\n```json\n{json.dumps(network, indent=1)}\n```",
    "## Denoising loss\n\nThe table gives the mean squared error of the predicted"
    " noise, under averaged weights and the same noise for all models."
    f"\n\n{losses_table(records)}",
    "## AUC against epochs\n\n"
    + epochs_table(settings, list(snapshot_records(settings, train, workdir))),
    f"Written by `{shlex.join(['python', '-m', 'benchmarks.card', *sys.argv[1:]])}`.",
  ]
  return "\n\n".join(parts) + "\n"


def main(argv):
  """Writes the card."""
  command.refuse_arguments(argv)
  devices.use_all()
  settings = Experiment.from_dict(_CONFIG.value.to_dict())
  workdir = pathlib.Path(_WORKDIR.value)
  with command.ending_in_one_line(f"the rows in {workdir}"):
    text = card(settings, pathlib.Path(_TRAIN.value), workdir)
    write_whole(pathlib.Path(_OUTPUT.value), text)
  logging.info("wrote %s", _OUTPUT.value)


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "train", "workdir", "output"])
  command.run(main)
