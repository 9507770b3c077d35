"""Turns the rows of an evaluation into one HTML file that opens without a network.

python -m launch.report --workdir=runs/mini [--sweep=runs/sweep] [--output=FILE]
  [--figures]

Scores nothing. WORKDIR is what launch.eval or launch.sweep wrote, or a study in
results/. What launch.eval --record kept and what launch.sets found there is shown too;
--sweep adds the further methods and ablations of a sweep of the same clips and models.
--figures writes the static figures as PNG, SVG and PDF beside the page. See
docs/report.md.
"""

import pathlib

from absl import app, flags, logging

from launch import command
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.report import html, page, reading, reproduction, static, walk

_WORKDIR = flags.DEFINE_string("workdir", None, "Of an evaluation or a sweep.")
_SWEEP = flags.DEFINE_string("sweep", None, "Of a sweep over the same clips.")
_OUTPUT = flags.DEFINE_string("output", None, "The page (default WORKDIR/report.html).")
_FIGURES = flags.DEFINE_bool(
  "figures", False, "Write the static figures to figures/ beside the page."
)


def _read(flag: str, folder: str) -> reading.Results:
  try:
    return reading.read(pathlib.Path(folder), reproduction.summarise)
  except (OSError, ValueError) as error:
    raise app.UsageError(f"--{flag}={folder}: {error}") from error


def main(argv):
  """Writes the page."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  results = _read("workdir", _WORKDIR.value)
  if _SWEEP.value:
    try:
      with reading.explained("a file of the folder"):
        results = reading.combine(results, _read("sweep", _SWEEP.value))
    except ValueError as error:
      raise app.UsageError(f"--sweep={_SWEEP.value}: {error}") from error
  try:
    with reading.explained("its summary or recording"):
      built = page.build(results)
      text = html.render(built, walk.sounds(results))
  except ValueError as error:
    raise app.UsageError(f"--workdir={_WORKDIR.value}: {error}") from error
  output = pathlib.Path(_OUTPUT.value or pathlib.Path(_WORKDIR.value) / "report.html")
  try:
    write_whole(output, text)
    logging.info("wrote %s, %.1f MB", output, output.stat().st_size / 1e6)
    if _FIGURES.value:
      with reading.explained("its summary"):
        drawn = static.save_all(results, built, output.parent / "figures")
      for path in drawn:
        logging.info("wrote %s", path)
  except (OSError, ValueError) as error:
    raise app.UsageError(f"--output={output}: {error}") from error


if __name__ == "__main__":
  flags.mark_flags_as_required(["workdir"])
  command.run(main)
