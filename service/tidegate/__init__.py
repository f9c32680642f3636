"""tidegate: one policy service beside Envoy that decides who may call a model, how much, and what may leave."""

__version__ = "0.1.0"
