"""The page's results as static figures for papers: PNG, SVG and PDF."""

import hashlib
import pathlib
from typing import Any

from lsaprobe_jax.report import figures, headline
from lsaprobe_jax.report.reading import Results
from lsaprobe_jax.text import slug

_KINDS = ("png", "svg", "pdf")


def save_all(
  results: Results, page: dict[str, Any], folder: pathlib.Path
) -> list[pathlib.Path]:
  """Draws every figure there is data for.

  Args:
    results: see `reading.read`.
    page: see `page.build`; the figures of single clips are drawn from it.
    folder: where they go.

  Returns:
    The files.
  """
  drawn = {"methods": figures.methods(results.records)}
  drawn["roc"] = figures.roc_curves(results.rows, headline.curves(results.rows))
  for model in page["curves"] or ():
    drawn[f"curves-{_file_name(model['model'])}"] = figures.degradation_curves(model)
  for name, (_, records) in results.ablations.items():
    drawn[name] = figures.ablation(records)
    if by_length := headline.by_length(name, records):
      drawn[headline.LENGTHS] = figures.training_length(by_length)
  return [
    path
    for name, figure in drawn.items()
    for path in figures.save(figure, folder / name, _KINDS)
  ]


def _file_name(model: str) -> str:
  """A model's name as it can stand in a file's: any text is one, also `../x`."""
  name = slug(model)
  whole = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()
  return name if name == model else f"{name}-{whole[:8]}"
