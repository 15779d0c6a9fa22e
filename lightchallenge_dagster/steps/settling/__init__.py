"""The parts of ``steps.settle``: who is due, their bindings, their proofs, and what is reported."""
