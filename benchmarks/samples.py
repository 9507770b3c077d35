"""Writes sounds of trained models, and a page to listen to them.

python -m launch.samples --models=musicldm-multigenre-a,musicldm-piano-a \
  --output=docs/samples

For each model two clips that it was trained on and two that it was not: the clip, what
encoding and decoding make of it, and its reconstruction from noisy states. Then sounds
that the model makes from noise alone. Nothing is picked by ear: the clips are the first
of either half, the noise comes from --seed.
"""

import html
import pathlib
from typing import Any

import jax
import numpy as np
import soundfile
from absl import app, flags, logging
from ml_collections import ConfigDict

from launch import command, common
from lsaprobe_jax import diffusion, probe
from lsaprobe_jax.data.clips import Clip, Corpus
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.models import checkpoints, conversion
from lsaprobe_jax.models.trained import load_model
from lsaprobe_jax.scoring.scorer import clip_number
from lsaprobe_jax.text import printable

_MODELS = flags.DEFINE_list("models", None, "Embedded models or model folders.")
_OUTPUT = flags.DEFINE_string("output", None, "Sounds and index.md go here.")
_T_RATIOS = flags.DEFINE_list("t_ratios", ["0.2", "0.6"], "Times of the states, of T.")
_STEPS = flags.DEFINE_integer("num_inference_steps", 50, "DDIM steps.", 1, 1_000)
_COUNT = flags.DEFINE_integer("count", 2, "Clips of each half.", 1, 1_000)
_DRAWS = flags.DEFINE_integer("draws", 4, "Sounds from noise.", 1, 1_000)
_SEED = flags.DEFINE_integer("seed", 0, "Of the noise.", 0, 2**31 - 1)

_HEAD = """# Samples to listen to

<!-- Written by launch.samples: do not edit. -->

Sounds of small embedded models, from {steps} DDIM steps, at the length that they were
trained on. They are there to be heard, not to be chosen from: the clips are the first
of either half, and the noise is that of seed {seed}. A model this small and this
over-trained makes no music of its own worth the name.

"""


def _sound(samples) -> np.ndarray:
  """What a file holds: a decoder's output may overshoot."""
  samples = np.asarray(samples, np.float32)
  if not np.isfinite(samples).all():
    raise FloatingPointError("a model's output is not finite")
  return np.clip(samples, -1, 1)


@jax.jit
def _autoencode(generator, audio):
  return generator.decode(generator.encode(audio))


@jax.jit
def _reconstruct(generator, audio, key, t):
  x_0 = generator.encode(audio)
  noise = probe.clip_noise(key, x_0.shape)
  x_t = diffusion.add_noise(generator.schedule, x_0, t, noise)
  return generator.reconstruct(x_t, t)


@jax.jit
def _generate(generator, audio, key):
  """From x_T, shaped as a clip's state is."""
  shape = jax.eval_shape(generator.encode, audio).shape
  x_t = probe.clip_noise(key, shape)
  return generator.reconstruct(x_t, generator.schedule.num_train_timesteps)


def _halves(record: dict[str, Any], rate: int) -> Corpus:
  """The clips of both halves of the corpus that a model was trained on."""
  settings = ConfigDict(record["training"]["config"]["corpus"])
  return common.open_corpus(settings, rate, settings.clips_per_track, ("a", "b"))


def _chosen(corpus: Corpus, members: set[str]) -> list[tuple[str, Clip, np.ndarray]]:
  """(which half, clip, audio): the first that were trained on, the first that not."""
  pairs = list(zip(corpus.clips, corpus.audio, strict=True))
  return [
    (half, *pair)
    for half, trained in (("trained on", True), ("never seen", False))
    for pair in [p for p in pairs if (p[0].id in members) == trained][: _COUNT.value]
  ]


def _player(folder: pathlib.Path, name: str, samples, rate: int) -> str:
  """Writes a sound; returns what plays it."""
  soundfile.write(folder / f"{name}.flac", _sound(samples), rate)
  # Narrow: four of them and a title stand in a row of the page.
  style = "width: 6.5rem; min-width: 0"
  return f'<audio controls preload="none" style="{style}" src="{name}.flac"></audio>'


def _table(header: list[str], lines: list[list[str]]) -> str:
  """HTML: Markdown's own tables hold no players."""
  rows = ["".join(f"<th>{cell}</th>" for cell in header)]
  rows += ["".join(f"<td>{cell}</td>" for cell in line) for line in lines]
  return "<table>\n" + "\n".join(f"<tr>{row}</tr>" for row in rows) + "\n</table>\n"


def _model_part(name: str, folder: pathlib.Path, times: list[float]) -> str:
  """Writes one model's sounds; returns its part of the page."""
  try:
    generator = load_model(name, num_inference_steps=_STEPS.value).model
    record = checkpoints.load_model(conversion.find_model(name))[1]
  except checkpoints.CheckpointError as error:
    raise app.UsageError(f"--models={name}: {error}") from error
  training = record["training"] or {}
  if not (training.get("clips") and training.get("config")):
    raise app.UsageError(
      f"--models={name}: its model.json names no training clips, or no corpus"
    )
  rate, stem = generator.sample_rate, pathlib.Path(name).name
  try:
    states = {x: diffusion.timestep(generator.schedule, x) for x in times}
  except ValueError as error:
    raise app.UsageError(f"--t_ratios: {error}") from error
  corpus = _halves(record, rate)
  generator = generator.for_length(corpus.audio.shape[1])
  base = jax.random.key(_SEED.value)
  members = {clip["id"] for clip in record["training"]["clips"]}
  lines = []
  for number, (half, clip, audio) in enumerate(_chosen(corpus, members)):
    own = f"{stem}-{number}"
    credit = printable(f"{clip.title}, {clip.author} ({clip.licence})")
    key = jax.random.fold_in(base, clip_number(clip.id))
    sounds = {"clip": audio, "coded": _autoencode(generator, audio)}
    for ratio, t in states.items():
      sounds[f"t{ratio:g}"] = _reconstruct(generator, audio, key, t)
    cells = [_player(folder, f"{own}-{k}", x, rate) for k, x in sounds.items()]
    lines.append([half, html.escape(credit), *cells])
    logging.info("%s: %s", name, printable(clip.id))
  header = ["", "clip", "as it is", "encoded, decoded"]
  header += [f"from t = {ratio:g} T" for ratio in times]
  drawn = []
  for draw in range(_DRAWS.value):
    sound = _generate(generator, corpus.audio[0], jax.random.fold_in(base, draw))
    drawn.append(_player(folder, f"{stem}-drawn-{draw}", sound, rate))
  return (
    f"## {html.escape(stem)}\n\n{_table(header, lines)}\nFrom noise alone:\n\n"
    f"{_table([f'draw {draw}' for draw in range(_DRAWS.value)], [drawn])}"
  )


def main(argv):
  """Writes sounds and page."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_compilation_cache()
  try:
    times = [float(ratio) for ratio in _T_RATIOS.value]
  except ValueError as error:
    raise app.UsageError(f"--t_ratios: {error}") from error
  folder = pathlib.Path(_OUTPUT.value)
  with common.ending_in_one_line("the beginning"):
    folder.mkdir(parents=True, exist_ok=True)
    parts = [_model_part(name, folder, times) for name in _MODELS.value]
    head = _HEAD.format(steps=_STEPS.value, seed=_SEED.value)
    write_whole(folder / "index.md", head + "\n".join(parts))
  logging.info("wrote %s", folder / "index.md")


if __name__ == "__main__":
  flags.mark_flags_as_required(["models", "output"])
  command.run(main)
