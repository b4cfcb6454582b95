"""The rehearsal engine ``hibana-vasp``: VASP's files in and out, real DFT with GPAW in between. It is NOT VASP."""
