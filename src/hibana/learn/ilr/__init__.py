"""Interaction linear regression: descriptors whose effect depends on categories, for small data and extrapolation.

H. Shimakawa, A. Kumada, M. Sato, npj Comput. Mater. 10, 11 (2024). ``columns.read_columns`` takes descriptors and categories from
a table, ``model.fit`` fits, ``benchmark.benchmark`` judges by splits inside and outside the range of the training rows beside
other methods, and ``run.learn`` does everything and writes the folder.
"""
