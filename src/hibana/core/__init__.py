"""Units, numbered errors, content addresses and settings: what every other room stands on."""
