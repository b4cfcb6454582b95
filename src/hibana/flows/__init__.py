"""Jobs and flows: one job is one calculation; a flow joins them by what is learnt on the way."""
