"""Features of compositions, structures and sites: numbers that the modules learn from, each with unit, meaning and source.

``composition.composition_features(formulas)``, ``structure.structure_features(structures)`` and
``sites.site_features(structure, site_index)`` work on what they are given; ``table.features_of(dataset)`` gives the features
of every row of a table, computed in parallel and kept in a cache.
"""
