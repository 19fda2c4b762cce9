"""Published findings about Transformers, run again: from bundled models or in a short training.

``registry.EXPERIMENTS`` has them by name; ``python -m transformer experiment`` runs them.
"""
