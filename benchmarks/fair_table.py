"""The rows of `benchmarks.fair`, and its page."""

import dataclasses
import os
import platform
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks import problems
from benchmarks.workers import Spec

_SIDES = {"jax": "ours", "eager": "PyTorch eager", "compiled": "torch.compile"}
_COLUMNS = (
  "precision",
  "distance",
  "search",
  "program",
  "arrangement",
  "gradients",
  "compiling, s",
  "s a clip [least, most]",
  "over ours",
  "over our default search",
  "of compute",
  "of memory",
  "D differs by, first and last budget",
  "same C_adv",
)
_NONE = ""
_EXPLAINED = (
  "`over ours` is a program's time over that of our search of the same kind, within a"
  " round: the median [least, most]. `over our default search` is our search's over"
  " the default one's in float32. `compiling` is what the first call took more than"
  " the second, with models loaded; where --compilation_cache has our programs, it is"
  " how long they take to read. The shares are those of the roofs, by operations and"
  " bytes that XLA counts for one gradient, bytes as if nothing stayed in a cache"
  " between fused operations. `D differs by` is a peer's largest relative difference"
  " from ours; where D has kinks, rounding grows along the climb. `same C_adv` counts"
  " the clips on which both find the same budget."
)


def row(
  spec: Spec, seconds: Sequence[float], base: Sequence[float], facts: dict[str, Any]
) -> dict[str, Any]:
  """A row of a program that was timed, `base` being our search's times."""
  return (
    dataclasses.asdict(spec)
    | {"arrangement": spec.arrangement, "times": list(seconds)}
    | {"over_ours": ratios(seconds, base)}
    | facts
  )


def failure(spec: Spec, reason: str) -> dict[str, Any]:
  """A row of a program that was left out."""
  return dataclasses.asdict(spec) | {
    "arrangement": spec.arrangement,
    "error": reason,
  }


def ratios(seconds: Sequence[float], base: Sequence[float]) -> list[float]:
  """Ratios within each round."""
  return [a / b for a, b in zip(seconds, base, strict=True)]


def head(
  command: str, machine: dict[str, Any], versions: Sequence[str], rounds: int
) -> str:
  """What was run, on what."""
  cores = len(os.sched_getaffinity(0))
  where = f"{machine['kind']} ({platform.machine()}, {cores} cores)"
  return (
    f"# Whole searches, ours and PyTorch's\n\n`{command}`\n\n{where},"
    f" {', '.join(versions)}; {rounds} rounds in turns. {_EXPLAINED}"
  )


def page(head: str, rows: Sequence[dict[str, Any]]) -> str:
  """The page of all rows so far."""
  parts = [head]
  for size in dict.fromkeys(row["size"] for row in rows):
    parts.append(_size_part(size, [row for row in rows if row["size"] == size]))
  return "\n\n".join(parts) + "\n"


def _size_part(size: str, rows: Sequence[dict[str, Any]]) -> str:
  described, timed = problems.SIZES[size], [row for row in rows if "times" in row]
  seconds = rows[0]["seconds"] or described.seconds
  lines = [f"## {described.title}", ""]
  lines += [f"{rows[0]['clips']} clips of {seconds:g} s in a round.", ""]
  lines += [
    "| " + " | ".join(_COLUMNS) + " |",
    "|" + "---|" * len(_COLUMNS),
    *map(_line, timed),
  ]
  for precision, found in {
    row["precision"]: row for row in timed if "roofs" in row
  }.items():
    lines += ["", _roofs(precision, found["roofs"])]
  # The same reason counts once.
  reasons = dict.fromkeys(_left_out(row) for row in rows if "error" in row)
  return "\n".join(lines + (["", *reasons] if reasons else []))


def _line(row: dict[str, Any]) -> str:
  clips = row["clips"]
  cells = [
    row["precision"],
    row["distance"],
    row["search"],
    _SIDES[row["side"]],
    row["arrangement"],
    f"{row['gradients']:.0f}",
    _NONE if row.get("compiling") is None else f"{row['compiling']:.1f}",
    _spread([t / clips for t in row["times"]], 4),
    _spread(row["over_ours"], 2),
    _NONE if "over_default" not in row else _spread(row["over_default"], 2),
    *_shares(row),
    _NONE if "differs" not in row else ", ".join(f"{x:.0e}" for x in row["differs"]),
    f"{row['same_cost']} of {clips}" if "same_cost" in row else _NONE,
  ]
  return "| " + " | ".join(cells) + " |"


def _spread(values: Sequence[float], digits: int) -> str:
  middle, least, most = statistics.median(values), min(values), max(values)
  return f"{middle:.{digits}f} [{least:.{digits}f}, {most:.{digits}f}]"


def _shares(row: dict[str, Any]) -> tuple[str, str]:
  """Our shares of the roofs, operations and bytes."""
  if "work" not in row or not row["gradients"]:
    return _NONE, _NONE
  each = statistics.median(row["times"]) / row["clips"]
  # D without gradient is taken twice beside: at the clean end and at the last point.
  done = [
    row["gradients"] * gradient + 2 * value
    for gradient, value in zip(
      row["work"]["gradient"], row["work"]["value"], strict=True
    )
  ]
  roofs = row["roofs"]["matrix product"], row["roofs"]["copy"]
  return tuple(
    f"{amount / each / roof:.0%}" for amount, roof in zip(done, roofs, strict=True)
  )


def _roofs(precision: str, found: dict[str, float]) -> str:
  return (
    f"Roofs in {precision}, measured in the same rounds:"
    f" {found['matrix product'] / 1e9:.0f} GFLOP/s (matrix product) and"
    f" {found['copy'] / 1e9:.0f} GB/s (copy)."
  )


def _left_out(row: dict[str, Any]) -> str:
  what = f"{_SIDES[row['side']]}, {row['precision']}, {row['distance']}"
  return f"- {what}, {row['search']}, {row['arrangement']}: left out, {row['error']}."
