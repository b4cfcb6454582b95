"""The command `hibana`: thin verbs over the rooms."""
