//! The pipeline: steps, registry, compiler, runner and the streaming hold-back.
