"""Ads: what campaigns cost (Meta) and what the users that they bring are worth (Mixpanel)."""
