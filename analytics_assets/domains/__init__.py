"""The domains: a folder each, which nothing else has to know.

Belongs here: nothing but folders. ``registry.py`` finds each by its ``domain.py``, which gives
``DOMAIN``; no domain imports another. ``analytics-assets new-domain NAME`` begins one.
"""
