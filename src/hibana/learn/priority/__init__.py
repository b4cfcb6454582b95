"""Which candidates are calculated first: acquisition functions, decisions and the replay of a finished campaign."""
