"""Clustering that depends on a target: rows are alike if the trees of a forest fitted to the target send them to the same leaves.

``leaves.grow`` fits the forest and gives the sparse leaf space; ``partition.partition`` divides it; ``groups.judge_groups`` ranks
the groups by what their target has beyond what another column lets expect; ``signature.signatures`` says which features set a
group apart; ``run.cluster`` does everything, for several seeds, and writes the folder.
"""
