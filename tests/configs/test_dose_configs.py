"""The dose benchmark: its trainings and what is tried fit together."""

import json
import pathlib

import numpy as np
import pytest

from configs import dose as embedded
from configs import sweep_dose, train_dose, tune_dose
from lsaprobe_jax.data.corpus import open_corpus
from lsaprobe_jax.models import checkpoints


@pytest.mark.parametrize("family", train_dose.FAMILIES)
def test_fine_tunes_go_on_from_the_base_at_a_constant_rate(family):
  base = train_dose.get_config(f"{family},base")
  assert list(base.corpus.groups) == ["reference"]
  assert not base.initial
  seeds = {base.seed}
  for group in ("a", "b"):
    for more in ("", ",1", ",0,piano"):
      tuned = train_dose.get_config(f"{family},{group}{more}")
      assert tuned.initial == f"runs/train/dose-{family}-base/model"
      assert list(tuned.corpus.groups) == [group]
      music = "piano" if "piano" in more else "multigenre"
      assert tuned.corpus.path == train_dose.CORPORA[music]
      assert tuned.corpus.clip_seconds == base.corpus.clip_seconds
      assert tuned.learning_rate == tuned.final_learning_rate
      assert tuple(tuned.snapshot_epochs) == train_dose.doses(family)
      assert tuned.epochs == max(tuned.snapshot_epochs)
      assert tuned.model == base.model
      seeds.add(tuned.seed)
  assert len(seeds) == 3


BAD = ["diffwave", "diffwave,c", "wavenet,a", "diffwave,a,x", "diffwave,a,0,drums"]
BAD += ["diffwave,base,0,piano"]


@pytest.mark.parametrize("arg", BAD)
def test_a_training_that_there_is_not_is_refused(arg):
  with pytest.raises(ValueError, match=f"train_dose.py:{arg}: give diffwave"):
    train_dose.get_config(arg)


@pytest.mark.parametrize("family", tune_dose.FAMILIES)
def test_every_method_is_tried_at_both_doses(family):
  config = tune_dose.get_config(family)
  tried = [(c["methods"][0], pathlib.Path(c["targets.A"]).name) for c in config.grid]
  under = {}
  for method, dose in tried:
    under.setdefault(method, []).append(dose)
  assert {"lsa_probe", "lsa_probe_anchored", "loss", "random_stability"} < under.keys()
  for doses in under.values():
    # As often at either.
    assert {doses.count(f"{dose:05d}") for dose in tune_dose.DOSES} == {len(doses) // 2}


def test_targets_are_snapshots_of_the_trainings():
  config = sweep_dose.get_config()
  last, main = str(max(train_dose.DOSES)), dict(config.targets)
  there = json.loads(sweep_dose.SETTINGS.read_text())
  for family, seeds in sweep_dose.SEEDS.items():
    for seed in seeds if family in there else ():
      behind = f"-{seed}" if seed else ""
      name = f"dose_{family}" + (f"_seed{seed}" if seed else "")
      variants = config.sweep.variants[name]
      assert sorted(map(int, variants)) == sorted(train_dose.DOSES)
      for dose, changes in variants.items():
        targets = changes.get("targets") or main
        assert (name == "dose_musicldm" and dose == last) == ("targets" not in changes)
        for half in "ab":
          folder = f"runs/train/dose-{family}-{half}{behind}/snapshots/{int(dose):05d}"
          assert targets[half.upper()] == folder
        assert targets["reference"] == f"runs/train/dose-{family}-base/model"


@pytest.mark.parametrize("family", tune_dose.FAMILIES)
def test_every_method_with_settings_is_scored_at_every_dose(family):
  sweep = sweep_dose.get_config().sweep
  compared = sweep.compared_in
  settings = json.loads(sweep_dose.SETTINGS.read_text())[family]["settings"]
  chosen = {*settings["baselines"], "lsa_probe", "lsa_probe_anchored"}
  assert {*compared[f"dose_{family}"]} == chosen
  # The costliest are scored on one music and under one seed.
  fewer = chosen - {*tune_dose.COSTLY}
  for seed in sweep_dose.SEEDS[family][1:]:
    assert {*compared[f"dose_{family}_seed{seed}"]} == fewer
  # On chorales what searches under DiffWave is scored at the later doses.
  later = {*compared.get(f"cell_{family}_piano", ())}
  assert {*compared[f"dose_{family}_piano"]} == fewer - later
  if later:
    cells = sweep.variants[f"cell_{family}_piano"]
    assert sorted(map(int, cells)) == [100, 300]
    for dose, changes in cells.items():
      assert changes == sweep.variants[f"dose_{family}_piano"][dose]


@pytest.mark.parametrize("name", ["equal_nfe", "equal_nfe_diffwave"])
def test_equal_nfe_is_of_embedded_fine_tunes_and_differs_in_nothing_else(name):
  config = sweep_dose.get_config()
  compared = config.sweep.compared_in[name]
  assert [name for name in compared if name.endswith("_nfe_matched")] == [
    f"{name}_nfe_matched" for name in sweep_dose.NFE_MATCHED
  ]
  assert name not in config.sweep.with_development
  diffwave = name.endswith("diffwave")
  for dose, changes in config.sweep.variants[name].items():
    assert all(map(checkpoints.find_model, changes.targets.values()))
    family = "diffwave" if diffwave else "musicldm"
    assert changes.targets.to_dict() == sweep_dose.embedded(family, int(dose))
    assert not changes.twins.names
    # All else is as beside twins.
    own = changes.to_dict()
    there = config.sweep.variants[f"dose_{family}"][dose].to_dict()
    if diffwave:
      there["twins"] |= {"names": ()}
    else:
      own.pop("twins")
    assert own == there | {"targets": own["targets"]}


@pytest.mark.parametrize("family", sweep_dose.PIANO)
def test_chorales_are_judged_under_their_own_fine_tunes(family):
  config = sweep_dose.get_config()
  variants = config.sweep.variants[f"dose_{family}_piano"]
  assert sorted(map(int, variants)) == list(train_dose.DOSES)
  for dose, changes in variants.items():
    assert changes.corpus.path == train_dose.CORPORA["piano"] != config.corpus.path
    for half in "ab":
      folder = f"runs/train/dose-{family}-{half}-piano/snapshots/{int(dose):05d}"
      assert changes.targets[half.upper()] == folder
    assert changes.targets.reference == f"runs/train/dose-{family}-base/model"
    # All else is as on the music that it was tuned on.
    there = config.sweep.variants[f"dose_{family}"][dose].to_dict()
    own = {"targets": changes.targets.to_dict(), "corpus": changes.corpus.to_dict()}
    assert changes.to_dict() == there | own


def test_every_family_is_scored_by_its_own_settings():
  config = sweep_dose.get_config()
  made = json.loads(sweep_dose.SETTINGS.read_text())
  assert "musicldm" in made
  for family, own in made.items():
    variant = config.sweep.variants[f"dose_{family}"]["10"]
    scored = {family: config if family == "musicldm" else variant}
    for method, changes in own["settings"]["baselines"].items():
      baseline = scored[family].baselines[method]
      assert {name: baseline[name] for name in changes} == dict(changes)
    chosen = own["settings"]["anchored"]["tau"]["eta_ref"]
    assert scored[family].anchored.tau.eta_ref == chosen
    distance = tune_dose.common(family)["distance"]
    assert scored[family].distance == distance


# Signal over noise, squared, at a share of T of a path.
SNR = {
  "stable_audio": lambda ratio: 1 / np.tan(np.pi / 2 * ratio) ** 2,
  "ace_step": lambda ratio: ((1 - ratio) / (3 * ratio)) ** 2,
}


@pytest.mark.parametrize("family", SNR)
def test_a_family_that_was_not_tuned_is_scored_at_the_same_log_snr(family):
  config = sweep_dose.get_config()
  variants = config.sweep.variants[f"dose_{family}"]
  main, own = config.to_dict(), variants["30"].to_dict()
  betas = np.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2
  alpha_bar = np.concatenate([[1], np.cumprod(1 - betas)])
  pairs = [(main["t_ratio"], own["t_ratio"])]
  pairs += [(main["anchored"]["t_ratio"], own["anchored"]["t_ratio"])]
  for name, options in own["baselines"].items():
    if "t_ratio" in options:
      pairs.append((main["baselines"][name]["t_ratio"], options["t_ratio"]))
    # All else is MusicLDM's.
    assert main["baselines"][name] | options | {"t_ratio": None} == main["baselines"][
      name
    ] | {"t_ratio": None}
  # Every baseline that is scored has a time of its own.
  timed = {name for name, options in own["baselines"].items() if "t_ratio" in options}
  assert {*sweep_dose.METHODS} - {"lsa_probe_anchored"} <= timed
  # No method is scored twice.
  compared = config.sweep.compared_in
  assert not {*compared[f"dose_{family}"]} & {*compared[f"cell_{family}"]}
  assert {"loss", "path_error"} < {*compared[f"dose_{family}"]}
  assert list(config.sweep.variants[f"cell_{family}"]) == ["100"]
  assert sorted(map(int, variants)) == list(train_dose.doses(family))
  for before, after in pairs:
    there = alpha_bar[round(1000 * before)]
    here = SNR[family](after)
    assert abs(np.log(here) - np.log(there / (1 - there))) < 2e-2 / after
  for dose, changes in variants.items():
    folder = f"runs/train/dose-{family}-a/snapshots/{int(dose):05d}"
    assert changes["targets"]["A"] == folder


def test_settings_with_another_hash_are_refused(tmp_path, monkeypatch):
  made = json.loads(sweep_dose.SETTINGS.read_text())
  made["musicldm"]["settings"]["t_ratio"] = 0.123
  path = tmp_path / "dose_settings.json"
  path.write_text(json.dumps(made))
  monkeypatch.setattr(sweep_dose, "SETTINGS", path)
  with pytest.raises(
    ValueError, match=r"dose_settings\.json: the settings of musicldm"
  ):
    sweep_dose.get_config()


@pytest.mark.parametrize(
  ("family", "dose_of"),
  [(family, dose) for family, doses in embedded.DOSES.items() for dose in doses],
)
def test_embedded_models_are_those_that_their_names_say(family, dose_of):
  config = embedded.get_config(f"{family},{dose_of}")
  assert config.targets["A"].startswith(family)
  base = checkpoints.load_model(checkpoints.find_model(config.targets.reference))[1]
  heard = {"reference": ids(base)}
  for half in "ab":
    name = config.targets[half.upper()]
    training = checkpoints.load_model(checkpoints.find_model(name))[1]["training"]
    assert list(training["config"]["corpus"]["groups"]) == [half]
    assert training["epochs"] == dose_of
    assert training["initial"] == base["weights_sha256"]
    heard[half] = ids({"training": training}) - heard["reference"]
  corpus = open_corpus(
    "dose",
    sample_rate=16_000,
    clip_seconds=train_dose.CLIP_SECONDS,
    clips_per_track=1,
    groups=["a", "b"],
  )
  # What is judged was heard by the model of its half, and by no other.
  for clip in corpus.clips:
    other = {"a": "b", "b": "a"}[clip.group]
    assert clip.id in heard[clip.group]
    assert clip.id not in heard[other] | heard["reference"]


def ids(record):
  return {clip["id"] for clip in record["training"]["clips"]}
