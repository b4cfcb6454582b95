"""One VASP run: written, run under custodian by policy, read into a document, checked and diagnosed."""
