"""Spectra from crystal structures: a graph network, its latent vectors, and groups of materials whose spectra are alike."""
