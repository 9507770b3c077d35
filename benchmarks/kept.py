"""Keeps weights of models whose clips are too many to be listed beside each of them.

python -m benchmarks.kept --keep=runs/train/core-full-a/snapshots/00001 \
  --in=results/core-full/weights/a-1
python -m benchmarks.kept --restore=results/core-full/weights/a-1 \
  --to=runs/train/core-full-a/snapshots/00001

A model.json lists the clips that were trained on, with their hashes: 33,099 of them
make 4.6 MB. What is kept is the weights as they are, and the record with the list's
hash in its place. Whoever has built the corpus has the list: --restore makes it from
the corpus that the record names, checks it by its hash, and writes the model folder as
it was, to the byte. It needs no accelerator, and reads all of the corpus.
"""

import hashlib
import json
import pathlib
from typing import Any

from absl import app, flags, logging

from launch import command
from lsaprobe_jax import strict_json
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.models import checkpoints
from lsaprobe_jax.training.settings import TrainSettings

_KEEP = flags.DEFINE_string("keep", None, "A model folder of launch.train.")
_IN = flags.DEFINE_string("in", None, "With --keep: the folder to keep it in.")
_RESTORE = flags.DEFINE_string("restore", None, "A folder that --keep has written.")
_TO = flags.DEFINE_string("to", None, "With --restore: the model folder to write.")

_FILES = (checkpoints.MODEL_FILE, checkpoints.WEIGHTS_FILE)


def keep(folder: pathlib.Path, output: pathlib.Path) -> None:
  """Copies a model folder, with hashes in the place of the list of its clips.

  Raises:
    CheckpointError: it is damaged, or its list is not that of one corpus.
  """
  _, record = checkpoints.load_model(folder)
  text, weights = ((folder / name).read_bytes() for name in _FILES)
  training = record["training"] or {}
  clips = training.get("clips")
  if not clips or training.get("initial") or _text(record).encode() != text:
    raise checkpoints.CheckpointError(
      f"{folder}: it could not be restored; give a model that launch.train made of one"
      " corpus, and of no other model"
    )
  # In its place, so that the order of the record stays.
  record["training"]["clips"] = {
    "count": len(clips),
    "sha256": _list_hash(clips),
    "model_json_sha256": hashlib.sha256(text).hexdigest(),
  }
  output.mkdir(parents=True, exist_ok=True)
  write_whole(output / _FILES[1], weights)
  write_whole(output / _FILES[0], _text(record))


def restore(folder: pathlib.Path, output: pathlib.Path) -> None:
  """Writes the model folder that `keep` was given, from the corpus it was trained on.

  Raises:
    CheckpointError: the corpus is not the one that was trained on, or the model is
      damaged.
  """
  record = strict_json.loads((folder / _FILES[0]).read_bytes())
  training = record["training"] or {}
  told = training.get("clips")
  if not isinstance(told, dict):
    raise checkpoints.CheckpointError(
      f"{folder}: it is nothing that --keep has written"
    )
  settings = TrainSettings.from_dict(training["config"])
  corpus = corpora.open_corpus(
    settings.corpus.path,
    sample_rate=record["model"]["sample_rate"],
    clip_seconds=settings.corpus.clip_seconds,
    clips_per_track=settings.corpus.clips_per_track,
    groups=settings.corpus.groups,
  )
  clips = [{"id": clip.id, "sha256": clip.sha256} for clip in corpus.clips]
  if _list_hash(clips) != told["sha256"]:
    raise checkpoints.CheckpointError(
      f"{settings.corpus.path}: its {len(clips)} clips are not the {told['count']} that"
      f" {folder} was trained on; build the corpus as its record says"
    )
  training["clips"] = clips
  text = _text(record)
  if hashlib.sha256(text.encode()).hexdigest() != told["model_json_sha256"]:
    raise checkpoints.CheckpointError(f"{folder / _FILES[0]}: damaged; take it anew")
  output.mkdir(parents=True, exist_ok=True)
  write_whole(output / _FILES[1], (folder / _FILES[1]).read_bytes())
  write_whole(output / _FILES[0], text)
  # It checks that the weights are those of the record.
  checkpoints.load_model(output)


def _text(record: dict[str, Any]) -> str:
  """A record as `checkpoints.save_model` writes it."""
  return json.dumps(record, indent=1) + "\n"


def _list_hash(clips: list[dict[str, str]]) -> str:
  return hashlib.sha256(json.dumps(clips).encode()).hexdigest()


def main(argv):
  """Keeps or restores one model."""
  command.refuse_arguments(argv)
  work = {keep: (_KEEP, _IN), restore: (_RESTORE, _TO)}
  asked = {do: own for do, own in work.items() if any(flag.value for flag in own)}
  if len(asked) != 1 or not all(f.value for f in next(iter(asked.values()))):
    raise app.UsageError("give --keep and --in, or --restore and --to")
  ((do, paths),) = asked.items()
  source, output = (pathlib.Path(path.value) for path in paths)
  with command.ending_in_one_line(str(source)):
    if (output / _FILES[0]).exists():
      raise FileExistsError(f"{output}: there is a model in it; name another folder")
    do(source, output)
  logging.info("wrote %s", output)


if __name__ == "__main__":
  command.run(main)
