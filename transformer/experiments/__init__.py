"""Published findings about Transformers, repeated with bundled models or in short trainings.

``registry.EXPERIMENTS`` lists them by name; ``python -m transformer experiment`` runs them.
"""
