"""Settings of an audit."""

import pytest

from configs import audit as config
from lsaprobe_jax.audit import AuditSettings
from lsaprobe_jax.errors import SettingError


def test_the_configuration_file_holds_the_defaults():
  assert AuditSettings.from_dict(config.get_config().to_dict()) == AuditSettings()
  assert AuditSettings.from_dict(AuditSettings().to_dict()) == AuditSettings()


def test_the_evaluation_of_an_audit_has_its_settings():
  settings = AuditSettings().changed({"t_ratio": 0.3, "search.eta_max": 0.5})
  experiment = settings.experiment()
  assert (experiment.t_ratio, experiment.search.eta_max) == (0.3, 0.5)
  assert experiment.methods == settings.methods
  assert experiment.baselines == settings.baselines
  assert experiment.twins == settings.twins
  assert experiment.twins.development
  assert experiment.anchored == settings.anchored


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"alpha": 0.7}, r"^alpha=0\.7"),
    ({"alpha": 0.5}, r"^alpha=0\.5"),
    ({"corpus.clips_per_track": 0}, r"^corpus\.clips_per_track=0: at least 1"),
    ({"corpus.clips_per_track": None}, r"^corpus\.clips_per_track=None: at least 1"),
    ({"corpus.clip_seconds": -1.0}, r"^corpus\.clip_seconds=-1"),
    ({"methods": ()}, "^methods: names none"),
    ({"albums": "all"}, "^albums=all: one of"),
    ({"alpha": 0.005, "permutations": 99}, "give at least 199"),
    ({"methods": ("loss", "loss")}, "^methods: loss stands there twice"),
    ({"twins.names": ("polarity",) * 2}, r"^twins\.names: polarity stands there twice"),
    (
      {"reference_free_twins": ("polarity", "polarity")},
      "^reference_free_twins: polarity stands there twice",
    ),
    ({"beta": 1}, "^beta: there is no such setting"),
  ],
)
def test_settings_that_cannot_be_used(change, message):
  with pytest.raises(SettingError, match=message):
    AuditSettings().changed(change)
