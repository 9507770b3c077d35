"""Named tensors, as files bring them: which may be weights, and how to list them."""

from collections.abc import Iterable

import ml_dtypes
import numpy as np

from lsaprobe_jax.text import printable

_MOST_LISTED = 10
_LONGEST_LISTED = 200
_FLOATS = tuple(map(np.dtype, (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)))


def shortened(names: Iterable[object]) -> str:
  """Returns a list of names for a message: sorted, the first ten and how many more."""
  names = sorted(map(str, names))
  listed = [repr(printable(name[:_LONGEST_LISTED])) for name in names[:_MOST_LISTED]]
  more = len(names) - len(listed)
  return f"[{', '.join(listed)}{f', ... and {more:,} more' if more else ''}]"


def weight(name: str, value: np.ndarray) -> np.ndarray:
  """Returns a tensor as float32, if it may be a weight of a network.

  Args:
    name: of the tensor, for messages.
    value: its numbers.

  Raises:
    ValueError: it holds no floating-point numbers, or one that is not finite in
      float32.
  """
  value = np.asarray(value)
  if value.dtype not in _FLOATS:
    raise ValueError(
      f"{printable(name)} holds {value.dtype}, where weights are floating-point numbers"
    )
  with np.errstate(over="ignore", invalid="ignore"):
    value = value.astype(np.float32, copy=False)
    # Neither NaN nor infinity is lost in a sum, and a sum needs no memory.
    total = np.sum(value, dtype=np.float64)
  if not np.isfinite(total):
    nans = np.count_nonzero(np.isnan(value))
    bad = value.size - np.count_nonzero(np.isfinite(value))
    raise ValueError(
      f"{'NaN' if nans else 'infinity'} in {printable(name)}"
      f" ({bad:,} of {value.size:,} values)"
    )
  return value
