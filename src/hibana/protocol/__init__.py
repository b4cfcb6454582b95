"""The computational protocol as data, and the inputs that vise makes from it."""
