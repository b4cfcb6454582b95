"""Oxygen vacancies: hosts, supercells, corrections, band edges, chemical potentials, formation energies."""
