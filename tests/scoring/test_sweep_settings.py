"""What a sweep is refused for, before anything is scored."""

import pytest
import tiny_parted

from configs import sweep_mini
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.scoring.ablations import at_time
from lsaprobe_jax.scoring.sweep import sweep
from lsaprobe_jax.scoring.sweep_settings import SweepSettings


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
  return tiny_parted.sweep_settings(tiny_parted.changes(tmp_path_factory.mktemp("of")))


@pytest.mark.parametrize(
  ("changes", "ablations", "message"),
  [
    ({}, ("colour",), r"^ablations=colour: known: t_ratio, equal_compute"),
    (
      {"search.name": "bisection"},
      ("t_ratio", "eta_max"),
      r"^ablations=eta_max needs a search that gives curves",
    ),
    (
      {"sweep.methods": ("shouting",)},
      (),
      r"^sweep\.methods: 'shouting' is not one of gradient_norm",
    ),
    (
      {"sweep.variants.paper_distance.mr_stft.distance": "ear"},
      ("paper_distance",),
      r"^sweep\.variants\.paper_distance\.mr_stft\.distance=ear: ",
    ),
    (
      {"sweep.compared_in.settings": ("loss_nfe_matched", "lsa_probe")},
      (),
      r"^sweep\.compared_in\.settings: loss_nfe_matched must come after lsa_probe",
    ),
    (
      {"sweep.compared_in.setings": ("loss",)},
      (),
      r"^sweep\.compared_in: 'setings' is not one of the variants",
    ),
    (
      {"sweep.variants.epochs.375.targets.B": "nowhere"},
      ("epochs",),
      r"^sweep\.variants\.epochs\.375\.targets\.",
    ),
    (
      {"sweep.variants.norm.linf.search.norm": "manhattan"},
      (),
      r"^sweep\.variants\.norm\.linf\.search\.norm=manhattan: ",
    ),
    (
      {"sweep.eta_max": ()},
      ("eta_max",),
      r"^ablations=eta_max: the setting sweep\.eta_max",
    ),
    (
      {"sweep.compared": ("loss",)},
      (),
      r"^sweep\.compared, then sweep\.nfe_matched: loss_nfe_matched must come after",
    ),
    (
      {"sweep.methods": ("lsa_probe", "loss")},
      (),
      r"^sweep\.methods: lsa_probe is always the first",
    ),
    ({"sweep.methods": ("loss", "loss")}, (), r"^sweep\.methods: loss stands there tw"),
    ({"sweep.t_ratio": (0.2, 0.2)}, (), r"^sweep\.t_ratio: 0\.2 stands there twice"),
    (
      {"sweep.t_ratio": (0.2, 0.001)},
      ("times",),
      r"^sweep\.t_ratio: t_ratio=0\.001 gives t = 0, outside 1\.\.",
    ),
    (
      {"sweep.compared": ("lsa_probe", "secmi"), "sweep.equal_compute": (0.2, 1.0)},
      ("equal_compute",),
      r"^sweep\.equal_compute: baselines\.secmi\.t_ratio=1: SecMI takes a step beyond",
    ),
    ({"sweep.draws": (0,)}, (), r"^sweep\.draws=0: at least 1"),
    ({"sweep.colour": 1}, (), r"^sweep\.colour: there is no such setting"),
  ],
)
def test_what_cannot_be_run_is_refused(tmp_path, settings, changes, ablations, message):
  with pytest.raises((SettingError, ArgumentError), match=message):
    sweep(settings.changed(changes), tmp_path / "w", ablations)
  assert not (tmp_path / "w").exists()


def test_models_of_a_variant_that_is_not_run_need_not_be_there(tmp_path, settings):
  changed = settings.changed({"sweep.variants.epochs.375.targets.B": "nowhere"})
  with pytest.raises(ArgumentError, match="colour"):
    sweep(changed, tmp_path / "w", ("colour",))


def test_a_method_that_is_asked_for_twice_is_compared_once(settings):
  compared = ("lsa_probe", "loss", "loss_nfe_matched")
  changes = {"sweep.compared": compared, "sweep.nfe_matched": ("loss", "pia")}
  assert settings.changed(changes).sweep.compared_names == [
    *compared,
    "pia_nfe_matched",
  ]


def test_at_another_time_is_what_there_is_to_set(settings):
  compared = {"sweep.compared": ("lsa_probe", "lsa_probe_anchored", "loss")}
  changed = settings.changed(compared)
  without = changed.to_dict()
  del without["baselines"]["random_stability"]
  without["sweep"]["methods"] = ("loss",)
  for own in (changed, SweepSettings.from_dict(without)):
    moved = own.experiment.changed(at_time(own, 0.3))
    assert moved.t_ratio == moved.anchored.t_ratio == 0.3
    assert moved.baselines["loss"]["t_ratio"] == 0.3


def test_what_else_is_run_makes_no_row_another(settings):
  more = settings.changed({"sweep.draws": (1, 2, 3), "methods": ("loss",)})
  assert more != settings
  assert more.experiment == settings.experiment
  assert settings.changed({"t_ratio": 0.3}).experiment != settings.experiment


def test_settings_survive_json(settings):
  assert SweepSettings.from_dict(settings.to_dict()) == settings
  whole = SweepSettings.from_dict(sweep_mini.get_config().to_dict())
  assert whole.sweep.variants["clip_ms"]["128"] == {"corpus": {"scored_seconds": 0.128}}
