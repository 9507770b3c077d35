"""A LoRA that is trained here, audited with its base as the reference model."""

import pathlib

import pytest

from lsaprobe_jax import data, training
from lsaprobe_jax.audit import audit
from lsaprobe_jax.models import checkpoints

pytestmark = pytest.mark.slow

BASE = "stable_audio-dose-base"
SHIPPED = pathlib.Path(data.__file__).parent / "shipped" / "dose" / "manifest.json"


@pytest.fixture(scope="module")
def fine_tune(tmp_path_factory):
  """Forty passes over one second of each track of half a, at rank 8."""
  record = checkpoints.read_record(checkpoints.find_model(BASE))
  settings = training.TrainSettings.from_dict(
    dict(
      corpus=dict(path="dose", groups=["a"], clip_seconds=1.024, clips_per_track=1),
      model=record["model"],
      initial=BASE,
      trains="lora",
      lora_rank=8,
      epochs=40,
      learning_rate=5e-3,
      final_learning_rate=5e-3,
      warmup_steps=10,
      ema_decay=0.98,
    )
  )
  return training.train(settings, tmp_path_factory.mktemp("lora"))


def asked(model, suspects, reference):
  return audit(
    model,
    suspects=SHIPPED,
    suspects_groups=suspects,
    reference=SHIPPED,
    reference_groups=reference,
    reference_model=BASE,
    methods=["loss"],
    corpus={"clips_per_track": 1},
    permutations=999,
  )


def test_what_a_lora_was_trained_on_is_found_by_its_base_and_nothing_else(fine_tune):
  heard = asked(fine_tune, ["a"], ["b", "dev"])
  assert heard.evidence
  assert heard.p_value < 0.05
  assert any("untuned for this family" in note for note in heard.inputs.notes)
  # The same LoRA, asked about music that it has not heard.
  unheard = asked(fine_tune, ["b"], ["dev"])
  assert not unheard.evidence
