"""New candidates: compositions drawn for a wanted value, and structures for them by substitution into known ones.

Compositions: :mod:`hibana.learn.generation.network` learns, :mod:`~hibana.learn.generation.decoding` turns what it draws into
formulas, :mod:`~hibana.learn.generation.run` goes from table to folder. Structures: :mod:`~hibana.learn.generation.pairs` ranks
templates, :mod:`~hibana.learn.generation.substitution` replaces their elements.
"""
