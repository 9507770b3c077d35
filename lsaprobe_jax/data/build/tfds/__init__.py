"""MAESTRO v3 and FMA as `tensorflow-datasets` builders, without TensorFlow.

Importing this package needs `pip install 'lsaprobe_jax[datasets]'`; reading what a
builder wrote (`data.records`) needs it too.
"""
