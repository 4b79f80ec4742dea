"""Detectors: SQL files that find what is wrong in the served figures, and the alerts that they raise."""
