"""What a new user gets wrong, looked at piece by piece: every check is ok, a warning, or failed with the way to mend it."""
