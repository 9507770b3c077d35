"""How the tests compile."""

# Compiling takes most of the time of most tests.
FAST = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
