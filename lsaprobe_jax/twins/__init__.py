"""Twins: copies of a clip that are as hard for a model and in no training set.

Most of what a score says of a clip is how hard the clip is for any model. A twin T x
takes that off without a reference model, since it is as hard and was not trained on:

  twin-calibrated score = s(x; eps) - mean over T of s(T x; T eps)

The noise moves with the clip, and so do the random starts of a search. That takes no
change of any attack: what an attack finds of (T x, T eps) under a model is what it
finds of (x, eps) under the model seen in a mirror, whose denoiser is x -> T' e(T x, t)
with T' the inverse of T (`Mirrored`). Distances then compare in the frame of the clip.
What an attack itself does to the audio has to commute with T for that: PFAMI's shift
does not with playing backwards, and is the other way round there.

A twin finds something where three conditions hold: it keeps the clip's difficulty, it
leaves the symmetries of the model, and its noise moves with it. `suitability` measures
the second without any label; docs/twins.md has the reasons and the measurements.
"""

from lsaprobe_jax.twins.changes import Mirror, Resung, Twin
from lsaprobe_jax.twins.mirrored import Mirrored, mirrored
from lsaprobe_jax.twins.registry import Kind, get, kind, names, register
from lsaprobe_jax.twins.suitability import Suitability, check, suitable

__all__ = [
  "Kind",
  "Mirror",
  "Mirrored",
  "Resung",
  "Suitability",
  "Twin",
  "check",
  "get",
  "kind",
  "mirrored",
  "names",
  "register",
  "suitable",
]
