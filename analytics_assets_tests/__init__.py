"""Tests: behaviour, on real parts. Mirrors the package, plus what spans it."""
