"""The FireWorks edge: hibana's LaunchPad, submission, launchers, recovery, and what became of a candidate."""
