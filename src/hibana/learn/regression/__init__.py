"""Regression of one column of a table on features: forests and boosted trees, judged by nested grouped cross-validation.

``task.make_task`` joins target, features and groups; ``validation.validate`` judges a family of models by outer folds that share
no group, with hyperparameters chosen inside; ``run.regress`` does everything and writes the folder; ``model.predict`` uses a
saved model.
"""
