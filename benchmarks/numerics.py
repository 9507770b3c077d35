"""Distances, gradients and searches here, against what a CPU computed before.

python -m benchmarks.numerics --reference=benchmarks/numerics.npz --output=FILE
python -m benchmarks.numerics --write=benchmarks/numerics.npz   # on a CPU

The file holds clips and scalars, norms, and gradients along a few directions. Matrix
products are computed in float32 throughout (`float32`) and as the backend prefers
(`tf32`). It takes two minutes to write.
"""

import concurrent.futures
import functools
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks import numerics_pieces as pieces
from benchmarks import our_programs
from launch import command, devices
from lsaprobe_jax.files import write_whole

_WRITE = flags.DEFINE_string("write", None, "The file to write the values to.")
_REFERENCE = flags.DEFINE_string("reference", None, "The file to compare with.")
_OUTPUT = flags.DEFINE_string("output", None, "The table, in Markdown.")
_PRECISIONS = flags.DEFINE_list("precisions", ["float32", "tf32"], "Of the products.")
_PIECES = flags.DEFINE_list(
  "pieces", None, "Begins of names of what is compared; everything by default."
)

_HEAD = """# Numerics

{kind}, jax {version}, against a CPU's values. Errors are relative, |a - b| / |b| over
all numbers of a piece; a gradient is its norm, and its products with
{directions} directions.

| piece | precision | error | seconds |
|---|---|---|---|
"""


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
  """|a - b| / |b|, where both are finite; infinite where only one is."""
  found, expected = np.ravel(found), np.ravel(expected)
  if np.any(np.isfinite(found) != np.isfinite(expected)):
    return float("inf")
  kept = np.isfinite(expected)
  off = np.linalg.norm(found[kept] - expected[kept])
  return float(off / max(np.linalg.norm(expected[kept]), 1e-30))


def chosen(begins: list[str] | None) -> dict[str, Callable[..., Any]]:
  """The pieces whose names begin so."""
  every = pieces.pieces()
  if not begins:
    return every
  return {k: v for k, v in every.items() if k.startswith(tuple(begins))}


def compute(
  piece: Callable[..., Any], precision: str, clips: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], float]:
  """A piece's values, and how many seconds they took, compiling included."""
  start = time.perf_counter()
  # The setting belongs to the thread.
  with our_programs.in_precision(precision):
    found = jax.device_get(piece(clips))
  return found, time.perf_counter() - start


def compare(
  reference: pathlib.Path, precisions: list[str], begins: list[str] | None, keep
) -> None:
  """Computes all pieces, several at once on an accelerator, and keeps a line each.

  Args:
    reference: the file.
    precisions: of matrix products.
    begins: see `chosen`.
    keep: takes (piece, precision, error, seconds); an exception may be the error.
  """
  with np.load(reference) as file:
    stored = dict(file)
  threads = 1 if jax.default_backend() == "cpu" else 6
  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    waiting = {
      pool.submit(compute, piece, precision, stored): (name, precision)
      for precision in precisions
      for name, piece in chosen(begins).items()
    }
    for done in concurrent.futures.as_completed(waiting):
      name, precision = waiting[done]
      try:
        found, seconds = done.result()
      except Exception as error:  # The others go on.
        keep(f"{name}: all", precision, error, 0.0)
        continue
      for part, value in found.items():
        expected = stored[f"{name}: {part}"]
        keep(f"{name}: {part}", precision, relative_error(value, expected), seconds)


def write(path: pathlib.Path) -> None:
  """Computes all pieces in float32 and writes them with the clips."""
  values = pieces.make_clips()
  for name, piece in pieces.pieces().items():
    found, seconds = compute(piece, "float32", values)
    print(f"{name}: {seconds:.1f} s", flush=True)
    values |= {f"{name}: {part}": np.asarray(v) for part, v in found.items()}
  np.savez_compressed(path, **values)


def _keep(lines: dict, output, head: str, piece, precision, error, seconds) -> None:
  """Writes the table anew, with one more line."""
  shown = f"{error:.1e}"[:200] if isinstance(error, float) else f"failed: {error}"[:200]
  lines[piece, precision] = f"| {piece} | {precision} | {shown} | {seconds:.1f} |"
  write_whole(
    output, head + "\n".join(line for _, line in sorted(lines.items())) + "\n"
  )


def main(argv):
  """Writes the values, or compares with them."""
  command.refuse_arguments(argv)
  devices.use_one()
  if _WRITE.value:
    if jax.default_backend() != "cpu":
      raise app.UsageError("--write: the values are a CPU's")
    write(pathlib.Path(_WRITE.value))
    return
  if not _REFERENCE.value or not _OUTPUT.value:
    raise app.UsageError("give --write, or --reference and --output")
  if not pathlib.Path(_REFERENCE.value).is_file():
    raise app.UsageError(f"--reference={_REFERENCE.value}: there is no such file")
  kind, output = jax.devices()[0].device_kind, pathlib.Path(_OUTPUT.value)
  head = _HEAD.format(kind=kind, version=jax.__version__, directions=pieces.DIRECTIONS)
  keep = functools.partial(_keep, {}, output, head)
  compare(pathlib.Path(_REFERENCE.value), _PRECISIONS.value, _PIECES.value, keep)
  print(output.read_text())


if __name__ == "__main__":
  command.run(main)
