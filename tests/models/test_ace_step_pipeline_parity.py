"""An ACE-Step pipeline that diffusers saved, converted, beside the original."""

import json
import logging
from collections import namedtuple

import jax
import numpy as np
import pytest
import tiny_ace_step as tiny
import toy_corpus
from compared import assert_close, published, randomised, shapes
from safetensors.numpy import load_file, save_file

import lsaprobe_jax as lsa
from lsaprobe_jax import search
from lsaprobe_jax.models import checkpoints, conversion, registry

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

# At ten latents a second the minute that prompts speak of is short.
VAE = {"downsampling_ratios": [10, 20], "sampling_rate": 2000}
SAMPLES, FRAMES, STEPS = 120_000, 600, 4
PROMPTS = ["solo piano", "loud drums", ""]
# What the transformer was given in a step, and what it said, prompt and null.
Call = namedtuple("Call", "time state conditions velocities")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """(folder, pipeline) of random weights in the published layout."""
  folder = tmp_path_factory.mktemp("pipeline") / "saved"
  config = tiny.config(vae=VAE)
  config = {
    part: {k: v for k, v in config[part].items() if not k.startswith("_")}
    for part in ("transformer", "vae")
  }
  text = transformers.Qwen3Config(
    vocab_size=40, hidden_size=10, intermediate_size=12, num_hidden_layers=2,
    num_attention_heads=2, num_key_value_heads=1, head_dim=6,
    max_position_embeddings=256,
  )  # fmt: skip
  parts = {
    "transformer": diffusers.AceStepTransformer1DModel(**config["transformer"]),
    "vae": diffusers.AutoencoderOobleck(**config["vae"]),
    "condition_encoder": diffusers.pipelines.ace_step.AceStepConditionEncoder(
      hidden_size=8, intermediate_size=12, text_hidden_dim=10, timbre_hidden_dim=4,
      num_lyric_encoder_hidden_layers=3, num_timbre_encoder_hidden_layers=2,
      num_attention_heads=2, num_key_value_heads=1, head_dim=6, sliding_window=4,
    ),
    "text_encoder": transformers.Qwen3Model(text),
  }  # fmt: skip
  parts = {name: randomised(part, "float32") for name, part in parts.items()}
  # A placeholder of zeros until a published pipeline fills it.
  parts["condition_encoder"].silence_latent.normal_()
  pipe = diffusers.AceStepPipeline(
    **parts,
    tokenizer=tokenizer(),
    scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
      num_train_timesteps=1, shift=1.0
    ),
  )
  pipe.set_progress_bar_config(disable=True)
  pipe.save_pretrained(folder, safe_serialization=True, max_shard_size="10KB")
  return folder, pipe


def tokenizer():
  """A tokenizer of single words, as transformers' fast ones are stored."""
  import tokenizers

  words = ["<pad>", "</s>", "<unk>", "solo", "piano", "loud", "drums", "#", ":", "60"]
  words += ["Instruction", "Caption", "Metas", "Lyric", "Languages", "en", "seconds"]
  made = tokenizers.Tokenizer(
    tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>")
  )
  made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
  )


def run(pipe, x, prompt, **settings):
  """Runs the whole pipeline from a state; its last latents and the steps between."""
  calls = []

  def note(module, args, given, out):
    time, state = given["timestep"][0].item(), given["hidden_states"][0].numpy()
    told = given["encoder_hidden_states"].numpy()
    calls.append(Call(time, state, told, out[0].numpy()))

  hook = pipe.transformer.register_forward_hook(note, with_kwargs=True)
  try:
    found = pipe(
      prompt, latents=torch.tensor(np.asarray(x))[None], output_type="latent",
      **settings,
    )  # fmt: skip
  finally:
    hook.remove()
  return found.audios[0], calls


def converted(folder, tmp_path, prompt):
  """The model, and its record."""
  conversion.convert(folder, tmp_path / "model", prompt=prompt)
  params, record = checkpoints.load_model(tmp_path / "model")
  model = registry.build_model(record["model"], params, STEPS).for_length(SAMPLES)
  return model, record


def draw(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("prompt", [None, *PROMPTS])
def test_velocities_are_those_of_a_guided_run(saved, tmp_path, prompt):
  """A step with guidance has both: of the prompt, and of the null condition."""
  folder, pipe = saved
  model, record = converted(folder, tmp_path, prompt)
  said = {"prompt": prompt, "lyrics": "", "seconds": 60.0}
  assert record["training"]["condition"] == ("null" if prompt is None else said)
  given = "solo piano" if prompt is None else prompt
  _, calls = run(pipe, draw(1, FRAMES, 4), given, num_inference_steps=STEPS)
  # Where there is no prompt, tokens are all alike and one of them is stored.
  told = calls[0].conditions[0] if prompt is not None else calls[0].conditions[1][:1]
  np.testing.assert_allclose(model.condition, told, rtol=1e-5, atol=1e-5)
  predict = jax.jit(model.predict)
  # The first time, 1, is not in the table: nothing would be left of a clip.
  for t, call in zip((750, 500, 250), calls[1:], strict=True):
    np.testing.assert_allclose(model.schedule.time[t], call.time, rtol=1e-6)
    of_prompt, of_null = call.velocities
    wanted, other = (of_null, of_prompt) if prompt is None else (of_prompt, of_null)
    assert_close(predict(call.state, t), torch.tensor(wanted), 1e-4)
    assert np.max(np.abs(wanted - other)) > 1e-2 * np.max(np.abs(wanted))


@pytest.mark.parametrize("prompt", ["solo piano", "loud drums"])
def test_a_whole_pipeline_agrees(saved, tmp_path, prompt):
  """Encoding, deterministic steps without guidance, decoding."""
  folder, pipe = saved
  model, _ = converted(folder, tmp_path, prompt)
  audio = 0.3 * draw(0, 2, SAMPLES)
  with torch.no_grad():
    mode = pipe.vae.encode(torch.tensor(audio)[None]).latent_dist.mode()[0].T
  assert_close(model.encode(audio), mode, 1e-4)
  x = draw(1, FRAMES, 4)
  times = [float(model.schedule.time[t]) for t in (800, 600, 400, 200)]
  latents, calls = run(pipe, x, prompt, timesteps=times, guidance_scale=1.0)
  np.testing.assert_allclose([call.time for call in calls], times, rtol=1e-6)
  with torch.no_grad():
    theirs = pipe.vae.decode(latents.T[None]).sample[0]
  ours = jax.jit(model.reconstruct)(x, 800)
  assert ours.shape == (2, SAMPLES)
  assert_close(ours, theirs, 1e-4)


def test_null_steps_are_its_schedulers(saved, tmp_path):
  folder, pipe = saved
  model, _ = converted(folder, tmp_path, None)
  x = draw(1, FRAMES, 4)
  scheduler, state = pipe.scheduler, torch.tensor(x)[None]
  scheduler.set_timesteps(sigmas=[float(model.schedule.time[t]) for t in (600, 300)])
  source, _ = pipe.prepare_src_latents("cpu", torch.float32, latent_length=FRAMES)
  context = torch.cat([source, torch.ones_like(source)], dim=-1)
  # As wide as any condition, as the pipeline has it.
  null = pipe.condition_encoder.null_condition_emb.expand(1, 37, -1)
  for time in scheduler.timesteps:
    with torch.no_grad():
      out = pipe.transformer(state, time[None], time[None], null, context).sample
    state = scheduler.step(out, time, state).prev_sample
  with torch.no_grad():
    theirs = pipe.vae.decode(state.transpose(1, 2)).sample[0]
  two = model.replace(num_inference_steps=2)
  assert_close(jax.jit(two.reconstruct)(x, 600), theirs, 1e-4)


def test_a_scheduler_that_shifts_too_shifts_again(saved, tmp_path):
  _, pipe = saved
  config = registry_config(pipe) | {"condition_tokens": 1, "silence_frames": 9}
  other = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=2.0)
  config["scheduler"] = json.loads(other.to_json_string())
  params = registry.init_params(config, jax.random.key(0))
  schedule = registry.build_model(config, params, 1).schedule
  given = pipe._get_timestep_schedule(4, 3.0, dtype=torch.float32)
  other.set_timesteps(sigmas=given.tolist())
  np.testing.assert_allclose(
    schedule.time[np.array([750, 500, 250])], other.timesteps[1:].numpy(), rtol=1e-6
  )


def registry_config(pipe):
  """A model configuration of a pipeline's parts."""
  parts = {part: getattr(pipe, part) for part in ("transformer", "vae", "scheduler")}
  read = {name: json.loads(part.to_json_string()) for name, part in parts.items()}
  return {"family": "ace_step"} | read


def test_names_and_shapes_at_the_published_size():
  """ACE-Step 1.5's networks and what is stored of its condition, without weights."""
  with torch.device("meta"):
    transformer = diffusers.AceStepTransformer1DModel(
      layer_types=["sliding_attention", "full_attention"] * 12
    )
    vae = diffusers.AutoencoderOobleck(
      downsampling_ratios=[2, 4, 4, 6, 10], sampling_rate=48000
    )
    encoder = diffusers.pipelines.ace_step.AceStepConditionEncoder()
  silence = encoder.silence_latent.shape[1]
  parts = namedtuple("Parts", "transformer vae scheduler")(
    transformer, vae, diffusers.FlowMatchEulerDiscreteScheduler(1)
  )
  config = registry_config(parts) | {"condition_tokens": 1, "silence_frames": silence}
  made = registry.abstract_params(config)
  assert shapes(made["vae"]) == published(vae)
  told = made["conditioning"]
  assert (1, *told["tokens"].shape) == encoder.null_condition_emb.shape
  assert (1, *told["silence"].shape) == encoder.silence_latent.shape
  wanted = published(transformer)
  blocks = [wanted.pop(f"layers_{i}") for i in range(24)]
  one = jax.tree.map(lambda leaf: leaf.shape[1:], made["transformer"].pop("layers"))
  assert shapes(made["transformer"]) == wanted
  assert all(block == one for block in blocks)


def test_prompts_differ_and_begin_with_lyrics(saved, tmp_path):
  folder, _ = saved
  found = {}
  for prompt in PROMPTS:
    model, record = converted(folder, tmp_path / prompt, prompt)
    found[prompt] = np.asarray(model.condition)
    assert record["model"]["condition_tokens"] == len(found[prompt])
  piano, drums, empty = found.values()
  assert piano.shape == drums.shape
  # The first word is the instruction's; Qwen3 looks back, so that what follows differs.
  assert not np.allclose(piano, drums)
  assert len(empty) == len(piano) - 2
  # Lyrics come first, and are empty for all.
  np.testing.assert_array_equal(piano[:5], drums[:5])


def test_a_condition_encoder_that_does_not_fit_lists_both(saved, tmp_path):
  folder = tmp_path / "pipeline"
  diffusers.AceStepPipeline.from_pretrained(saved[0]).save_pretrained(folder)
  path = folder / "condition_encoder" / "diffusion_pytorch_model.safetensors"
  state = load_file(path)
  state["stranger.weight"] = state.pop("text_projector.weight")
  save_file(state, path)
  message = (
    r"condition_encoder: weights do not fit the model;"
    r" left over: \['stranger.weight'\]; missing: \['text_projector.weight'\]"
  )
  with pytest.raises(checkpoints.CheckpointError, match=message):
    conversion.convert(folder, tmp_path / "asked", prompt="solo piano")
  # The null condition needs nothing of it but what is stored.
  conversion.convert(folder, tmp_path / "model")


def test_half_precision_words_a_prompt_near_full(saved, tmp_path):
  whole, _ = converted(saved[0], tmp_path, "solo piano")
  pipe = diffusers.AceStepPipeline.from_pretrained(saved[0], torch_dtype=torch.bfloat16)
  pipe.save_pretrained(tmp_path / "half")
  half, _ = converted(tmp_path / "half", tmp_path / "other", "solo piano")
  assert half.condition.dtype == np.float32
  off = np.linalg.norm(half.condition - whole.condition)
  assert 0 < off < 0.05 * np.linalg.norm(whole.condition)


def test_a_folder_is_scored_as_it_stands(saved, tmp_path, monkeypatch):
  monkeypatch.setattr(conversion, "CACHE", str(tmp_path / "cache"))
  model = lsa.load_model(saved[0])
  clips = toy_corpus.noise("ab", samples=4000, rate=2000)
  finder = search.get("continuation", rungs=4, steps=1)
  settings = dict(distance="waveform", search=finder, t_ratio=0.2)
  found = lsa.score(model, lsa.LSAProbe(tau=1e-4, **settings), clips)
  assert not found.failed
  assert np.all(found.score > 0)
  # What degrades it more takes a larger budget.
  more = lsa.score(model, lsa.LSAProbe(tau=4e-4, **settings), clips)
  assert np.all(more.score > found.score)


def test_a_turbo_is_better_asked_under_a_prompt(saved, tmp_path, caplog):
  folder = tmp_path / "pipeline"
  pipe = diffusers.AceStepPipeline.from_pretrained(saved[0])
  pipe.transformer.register_to_config(is_turbo=True)
  pipe.save_pretrained(folder)
  with caplog.at_level(logging.WARNING):
    conversion.convert(folder, tmp_path / "model")
  assert "never runs under the null condition" in caplog.text
  caplog.clear()
  conversion.convert(folder, tmp_path / "asked", prompt="solo piano")
  assert not caplog.text
