r"""The dose at which each method sees: fine-tunes after 1 to 300 passes over a clip.

  python -m launch.corpus --corpus=dose --segments_per_track=16 \
    --output=runs/corpora/dose --downloads=/tmp/packages
  (trainings: configs/train_dose.py; settings: configs/tune_dose.py)
  python -m launch.sweep --config=configs/sweep_dose.py --workdir=runs/dose \
    --ablations=dose_musicldm,dose_musicldm_seed1,dose_musicldm_piano
  python -m launch.sweep --config=configs/sweep_dose.py --workdir=runs/dose-diffwave \
    --nomain --ablations=dose_diffwave,dose_diffwave_piano,cell_diffwave_piano

Test tracks are music that no evaluation had read as test tracks before: two thirds of
the halves' 96 tracks, two clips of 1.024 s of each, all of which the fine-tune of their
half has seen. The base model, which saw neither half, is the reference model. Settings
are those of configs/dose_settings.json, chosen on tune tracks after 30 and 300 passes.
The main table is of MusicLDM after 300 passes, some of it at the probe's NFE too;
`equal_nfe` is that after fewer passes, and `equal_nfe_diffwave` of DiffWave, by the
embedded fine-tunes and without twins:

  python -m launch.sweep --config=configs/sweep_dose.py --workdir=runs/dose-nfe \
    --nomain --ablations=equal_nfe,equal_nfe_diffwave

`dose_musicldm_piano` is the same base fine-tuned on 48 chorales a half, one of a tune,
of tunes that no evaluation had among its test tracks; nothing was tuned on them.
`dose_diffwave_piano` is DiffWave's base fine-tuned on the same. `dose_stable_audio` and
`dose_ace_step` are of families for which nothing was tuned: they have MusicLDM's
settings, at the times of the same log-SNR. `cell_stable_audio` and `cell_ace_step` are
the methods that decode, the probe among them, after 100 passes, and
`cell_diffwave_piano` those that search or try directions, after 100 and 300.
"""

import hashlib
import json
import pathlib

from ml_collections import ConfigDict

from configs import mini, sweep_extra, train_dose, tune_dose
from lsaprobe_jax.metrics import pivot

METHODS = tuple(name for name in sweep_extra.METHODS if name not in tune_dose.COSTLY)
# In the main table these are also scored with the probe's NFE.
NFE_MATCHED = ("loss", "rediffuse", "path_error", "trajectory", "random_stability")
# The family of the main table.
_MAIN = "musicldm"
# Training seeds of the fine-tunes; the first is that of the settings. A family whose
# settings have not been chosen yet is left out.
SEEDS = {"musicldm": (0, 1), "diffwave": (0,)}
# Families that were fine-tuned on chorales too, with the settings of `dose`.
PIANO = ("musicldm", "diffwave")
# Families on a path in continuous time, which have the settings of the main one, at the
# times over T that have the log-SNR of its times (`diffusion.matched_t_ratio`).
_PATHS = {
  "stable_audio": {0.1: 0.275, 0.2: 0.425, 0.4: 0.677},
  "ace_step": {0.1: 0.133, 0.2: 0.208, 0.4: 0.375},
}
# What is scored there at every dose, and what decodes, and so takes most of the time,
# after `_CELL` passes. Trajectories, PIAN and SecMI told little of MusicLDM.
_LATENT = ("loss", "path_error", "pia", "sima")
_DECODING = ("lsa_probe", "lsa_probe_anchored", "rediffuse", "random_stability")
_CELL = (100,)
# What takes most of the time under DiffWave, and the doses of fine-tunes on chorales at
# which it is scored: the later ones, where little enough is seen.
_SEARCHING = ("lsa_probe", "lsa_probe_anchored", "random_stability")
_PIANO_CELLS = (100, 300)
# The doses of embedded fine-tunes at which baselines have the probe's NFE besides.
_EQUAL = {"musicldm": (10, 30, 100), "diffwave": (10, 30, 100, 300)}
SETTINGS = pathlib.Path(__file__).with_name("dose_settings.json")


def get_config() -> ConfigDict:
  config = mini.get_config("multigenre")
  config.update(settings(_MAIN))
  config.part = "test"
  config.targets = ConfigDict(train_dose.targets(_MAIN, max(train_dose.DOSES)))
  variants, compared = {}, {}
  there = json.loads(SETTINGS.read_text())
  for family, seeds in SEEDS.items():
    for seed in seeds if family in there else ():
      name = f"dose_{family}" + (f"_seed{seed}" if seed else "")
      variants[name] = _variants(family, train_dose.DOSES, seed)
      # The costliest have settings for the cheaper network alone, and are scored under
      # the models of one seed.
      costly = tune_dose.COSTLY if (family, seed) == (_MAIN, 0) else ()
      compared[name] = ("lsa_probe", *METHODS, *costly)
    if family in there and family in PIANO:
      name = f"dose_{family}_piano"
      variants[name] = _variants(family, train_dose.DOSES, music="piano")
      compared[name] = ("lsa_probe", *METHODS)
  if "diffwave" in there:
    on_chorales = variants["dose_diffwave_piano"]
    cells = {str(dose): on_chorales[str(dose)] for dose in _PIANO_CELLS}
    variants["cell_diffwave_piano"] = cells
    compared["cell_diffwave_piano"] = _SEARCHING
    others = tuple(name for name in METHODS if name not in _SEARCHING)
    compared["dose_diffwave_piano"] = others
  for family in _PATHS:
    doses = train_dose.doses(family)
    for name, at in ((f"dose_{family}", doses), (f"cell_{family}", _CELL)):
      variants[name] = _variants(family, at)
    compared[f"dose_{family}"] = _LATENT
    compared[f"cell_{family}"] = _DECODING
  cheaper = [f"{name}{pivot.NFE_MATCHED}" for name in NFE_MATCHED]
  equal = {}
  for family in [family for family in _EQUAL if family in there]:
    name = "equal_nfe" + ("" if family == _MAIN else f"_{family}")
    compared[name] = ("lsa_probe", *NFE_MATCHED, *cheaper)
    equal[name] = {str(dose): _equal(family, dose) for dose in _EQUAL[family]}
  config.sweep = dict(
    methods=(*METHODS, *tune_dose.COSTLY),
    nfe_matched=NFE_MATCHED,
    # The paper's t and tau, with a distance that a CPU has time for.
    paper=dict(t_ratio=0.6, distance="mr_stft", tau=dict(eta_ref=0.05)),
    variants=variants | equal,
    compared_in=compared,
    # The controls of docs/evaluation.md, and so development clips, at every dose.
    with_development=tuple(variants),
  )
  return config


def _equal(family: str, dose: int) -> dict:
  """Changes that make embedded fine-tunes, without twins, of the main run."""
  changes = {"targets": embedded(family, dose), "twins": {"names": ()}}
  if family == _MAIN:
    return changes
  own = settings(family)
  return own | changes | {"twins": own["twins"] | changes["twins"]}


def embedded(family: str, dose: int) -> dict[str, str]:
  """The embedded fine-tunes of both halves after so many passes, and their base."""
  tuned = {name.upper(): f"{family}-dose-{name}-{dose:03d}" for name in "ab"}
  return tuned | {"reference": f"{family}-dose-base"}


def settings(family: str) -> dict:
  """What all share, with what was chosen for the family, or for MusicLDM."""
  if family in _PATHS:
    made = settings(_MAIN)
    for part in (made, made["anchored"], *made["baselines"].values()):
      if "t_ratio" in part:
        part["t_ratio"] = _PATHS[family][part["t_ratio"]]
    return made
  own = json.loads(SETTINGS.read_text())[family]
  text = json.dumps(own["settings"], sort_keys=True)
  if hashlib.sha256(text.encode()).hexdigest() != own["sha256"]:
    raise ValueError(
      f"{SETTINGS}: the settings of {family} are not those that were chosen: their"
      " hash is another. Write them anew with benchmarks.choose"
    )
  made = ConfigDict(tune_dose.common(family))
  made.twins.development = True
  made.update(own["settings"])
  return made.to_dict()


def _variants(family: str, doses, seed: int = 0, music: str = "multigenre") -> dict:
  """`_variant` of each dose, by its label."""
  return {str(dose): _variant(family, dose, seed, music) for dose in doses}


def _variant(family: str, dose: int, seed: int, music: str = "multigenre") -> dict:
  """Changes that make a family's models of one dose of the main run."""
  if (family, dose, seed, music) == (_MAIN, max(train_dose.DOSES), 0, "multigenre"):
    return {}
  models = {"targets": train_dose.targets(family, dose, seed, music)}
  if music != "multigenre":
    models["corpus"] = {"path": train_dose.CORPORA[music]}
  return models if family == _MAIN else settings(family) | models
