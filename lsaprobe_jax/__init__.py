"""LSA-Probe in JAX: membership audits of music diffusion models.

  import lsaprobe_jax as lsa

  model = lsa.load_model("diffwave-multigenre-a")
  clips = lsa.load_audio("multigenre", like=model, groups=["a", "b"], clips_per_track=1)
  dev = lsa.load_audio("multigenre", like=model, groups=["dev"], clips_per_track=3)
  probe = lsa.calibrate_tau(model, lsa.LSAProbe(t_ratio=0.2), dev)
  scores = lsa.score(model, probe, clips)

Nothing is imported before it is used: `import lsaprobe_jax` does not start JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> the module that has it; a module's own name is the module itself.
_PUBLIC = {
  "ArgumentError": "errors",
  "AudioError": "data.border",
  "AuditResult": "audit",
  "CheckpointError": "models.checkpoints",
  "Corpus": "data.clips",
  "Experiment": "scoring.settings",
  "LSAProbe": "scoring.method",
  "LsaProbeError": "errors",
  "RowError": "rows",
  "Scores": "scoring.scores",
  "SettingError": "errors",
  "TrainedModel": "models.trained",
  "attacks": "attacks",
  "audit": "audit",
  "calibrate_tau": "scoring.method",
  "convert": "models.conversion",
  "distances": "distances",
  "evaluate": "scoring.evaluate",
  "from_denoiser": "models.trained",
  "from_torch": "models.from_torch",
  "load_audio": "data.corpus",
  "load_model": "models.trained",
  "metrics": "metrics",
  "register": "models.registry",
  "score": "scoring.scores",
  "search": "search",
  "twins": "twins",
}
# Those that are modules; others are names in a module.
_MODULES = frozenset({"attacks", "distances", "metrics", "search", "twins"})

__all__ = [
  "ArgumentError",
  "AudioError",
  "AuditResult",
  "CheckpointError",
  "Corpus",
  "Experiment",
  "LSAProbe",
  "LsaProbeError",
  "RowError",
  "Scores",
  "SettingError",
  "TrainedModel",
  "__version__",
  "attacks",
  "audit",
  "calibrate_tau",
  "convert",
  "distances",
  "evaluate",
  "from_denoiser",
  "from_torch",
  "load_audio",
  "load_model",
  "metrics",
  "register",
  "score",
  "search",
  "twins",
]

if TYPE_CHECKING:
  from lsaprobe_jax import attacks, distances, metrics, search, twins
  from lsaprobe_jax.audit import AuditResult, audit
  from lsaprobe_jax.data.border import AudioError
  from lsaprobe_jax.data.clips import Corpus
  from lsaprobe_jax.data.corpus import load_audio
  from lsaprobe_jax.errors import ArgumentError, LsaProbeError, SettingError
  from lsaprobe_jax.models.checkpoints import CheckpointError
  from lsaprobe_jax.models.conversion import convert
  from lsaprobe_jax.models.from_torch import from_torch
  from lsaprobe_jax.models.registry import register
  from lsaprobe_jax.models.trained import TrainedModel, from_denoiser, load_model
  from lsaprobe_jax.rows import RowError
  from lsaprobe_jax.scoring.evaluate import evaluate
  from lsaprobe_jax.scoring.method import LSAProbe, calibrate_tau
  from lsaprobe_jax.scoring.scores import Scores, score
  from lsaprobe_jax.scoring.settings import Experiment


def __getattr__(name: str) -> Any:
  if name not in _PUBLIC:
    raise AttributeError(f"module 'lsaprobe_jax' has no attribute {name!r}")
  module = importlib.import_module(f"lsaprobe_jax.{_PUBLIC[name]}")
  found = module if name in _MODULES else getattr(module, name)
  globals()[name] = found
  return found


def __dir__() -> list[str]:
  return sorted(__all__)
