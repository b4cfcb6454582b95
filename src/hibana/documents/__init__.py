"""What is stored: pydantic models with units and meanings; how they are stored is the business of ``store``."""
